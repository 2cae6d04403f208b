"""Values that do something to a careless reader: proxies that dial, keys that vouch for themselves, pickles that run."""

from __future__ import annotations

import base64
import pickle
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from hostile import packer
from hostile.battlefield import Trap
from hostile.watch import CODE_RAN

KEY = b"the stranger's own key"


class RunsCode:
    """Unpickling it is visible to `watch`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.audit, (CODE_RAN, "pickle")


def pickled() -> bytes:
    return pickle.dumps(RunsCode(), 2)


def signed_welcome(key: bytes = KEY) -> bytes:
    """A CONNECTOK of protocol 48 whose payload is a pickle that runs code, signed with the stranger's key."""
    return packer.message(
        packer.CONNECTOK, pickled(), dialect=packer.OLD, serializer=4, seq=0, key=key
    ) + packer.message(packer.RESULT, pickled(), dialect=packer.OLD, serializer=4, seq=1, key=key)


def proxy_dict(place: str, package: str = "Pyro4", serializer: str | None = "pickle", key: bytes | None = KEY) -> Any:
    """A class dict of a proxy for the stranger's place, with the stranger's key and choice of serializer."""
    uri, text = f"PYRO:x@{place}", None if key is None else "b64:" + base64.b64encode(key).decode()
    if package == "Pyro5":
        return {"__class__": "Pyro5.client.Proxy", "state": [uri, [], [], [], "hello", serializer]}
    return {
        "__class__": "Pyro4.core.Proxy",
        "state": [uri, [], ["called", "__iter__"], [], 0.0, text, "hello", 0, serializer],
    }


def native_proxy(place: str, serializer: str = "pickle") -> Any:
    return packer.thing(
        "fastpyro.Proxy", packer.tup(f"PYRO:x@{place}", packer.tup(), packer.tup(), packer.tup(), "hello", serializer)
    )


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda gadget: gadget,
    "in a list": lambda gadget: [gadget],
    "in a dict": lambda gadget: {"a": gadget},
    "OrderedDict": lambda gadget: {"__class__": "collections.OrderedDict", "items": gadget},
    "pairs of OrderedDict": lambda gadget: {"__class__": "collections.OrderedDict", "items": [gadget, gadget]},
    "key of OrderedDict": lambda gadget: {"__class__": "collections.OrderedDict", "items": [[gadget, 1]]},
    "float": lambda gadget: {"__class__": "float", "value": gadget},
    "class name": lambda gadget: {"__class__": gadget},
    "URI": lambda gadget: {"__class__": "Pyro5.core.URI", "state": gadget},
    "part of URI": lambda gadget: {"__class__": "Pyro4.core.URI", "state": ["PYRO", gadget, gadget, gadget, gadget]},
    "tags of URI": lambda gadget: {"__class__": "Pyro4.core.URI", "state": ["PYROMETA", [gadget], None, None, None]},
    "state of Proxy": lambda gadget: {"__class__": "Pyro5.client.Proxy", "state": gadget},
    "uri of Proxy": lambda gadget: {"__class__": "Pyro5.client.Proxy", "state": [gadget, [], [], [], "hello", None]},
    "names of Proxy": lambda gadget: {
        "__class__": "Pyro5.client.Proxy",
        "state": ["PYRO:x@localhost:1", gadget, gadget, [gadget], gadget, gadget],
    },
    "arguments of an error": lambda gadget: error_dict(args=gadget),
    "attributes of an error": lambda gadget: error_dict(attributes=gadget),
    "traceback of an error": lambda gadget: error_dict(attributes={"_pyroTraceback": gadget}),
    "lines of a traceback": lambda gadget: error_dict(attributes={"_pyroTraceback": [gadget]}),
    "mark of an error": lambda gadget: {"__class__": "builtins.ValueError", "__exception__": gadget, "args": []},
    "errno of an OSError": lambda gadget: error_dict("builtins.OSError", args=[gadget, gadget, gadget]),
    "UnicodeDecodeError": lambda gadget: error_dict("builtins.UnicodeDecodeError", args=[gadget] * 5),
    "failed call": lambda gadget: {"__class__": "Pyro5.core._ExceptionWrapper", "exception": gadget},
    "registered class": lambda gadget: {"__class__": "hostile.Account", "owner": gadget, "balance": gadget},
    "enumeration": lambda gadget: {"__class__": "hostile.Rights", "state": gadget},
    "tripwire": lambda gadget: {"__class__": "hostile.Tripwire", "value": gadget},
    "tripwire in OrderedDict": lambda _: {
        "__class__": "collections.OrderedDict",
        "items": {"__class__": "hostile.Tripwire", "value": 1},
    },
    "Decimal": lambda gadget: {"__class__": "decimal.Decimal", "state": gadget},
    "array": lambda gadget: {"__class__": "array.array", "state": gadget},
    "UUID": lambda gadget: {"__class__": "uuid.UUID", "state": gadget},
    "bytes": lambda gadget: {"data": gadget, "encoding": "base64"},
}

NATIVE_CLASSES = [
    "fastpyro.URI",
    "fastpyro.Proxy",
    "exception",
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    "pathlib.PurePath",
    "pathlib.PosixPath",
    "array.array",
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.generic",
    "hostile.Account",
    "hostile.Rights",
    "hostile.Tripwire",
]


def native_wrappers(gadget: Any) -> Iterator[Any]:
    """The gadget at every place of the native format's values."""
    yield gadget
    yield packer.tup(gadget)
    yield packer.Pairs([(gadget, 1)])
    for code in range(20):
        yield packer.Ext(code, gadget)
        yield packer.Ext(code, [gadget])
        yield packer.Ext(code, packer.Raw(b"\x07\xe4\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00" + packer.packed(gadget)))
        yield packer.Ext(code, packer.Raw(b"\x00\x00\x00\x00\x00\x00\x00\x00" + packer.packed(gadget)))
    for name in NATIVE_CLASSES:
        yield packer.thing(name, gadget)
        for size in range(1, 8):
            yield packer.thing(name, packer.tup(*[gadget] * size))
        yield packer.thing(name, {"owner": gadget, "value": gadget})
        yield packer.thing(name, packer.tup({"owner": gadget, "value": gadget}))
    yield packer.Ext(12, [gadget, packer.tup()])
    yield packer.thing(
        "exception", packer.tup("builtins.ValueError", packer.tup(gadget), gadget, gadget, gadget, gadget)
    )
    yield packer.thing(
        "exception", packer.tup("builtins.OSError", packer.tup(), {}, [gadget], [gadget], {"errno": gadget})
    )
    yield packer.thing("exception", packer.tup(gadget, packer.tup(), {}, [], [], {}))


def error_dict(class_name: str = "builtins.ValueError", args: Any = (), attributes: Any = None) -> dict[str, Any]:
    return {
        "__class__": class_name,
        "__exception__": True,
        "args": list(args) if isinstance(args, tuple) else args,
        "attributes": {} if attributes is None else attributes,
    }


def handshakes(trap: Trap) -> Iterator[tuple[str, bytes]]:
    """CONNECTs of every dialect and format with a proxy for the trap at every place."""
    for dialect, name in packer.DIALECTS:
        for package in ("Pyro4", "Pyro5"):
            gadget = proxy_dict(trap.place, package)
            for where, wrap in WRAPPERS.items():
                title = f"{name} of {dialect}, {package}'s proxy: {where}"
                yield title, packer.connect(wrap(gadget), dialect=dialect, name=name)
            yield "object", packer.connect("hello", gadget, dialect=dialect, name=name)
            payload = packer.body(name, gadget)
            yield (
                "the whole",
                packer.message(packer.CONNECT, payload, dialect=dialect, serializer=packer.IDS[dialect][name], flags=0),
            )
    for value in native_wrappers(native_proxy(trap.place)):
        yield "native", packer.connect(value)
        fast = packer.packed(value)
        payload = packer.body("serpent", {"handshake": "hello", "object": "subject"})
        if len(fast) < 60000:
            yield "FAST", packer.message(packer.CONNECT, payload, serializer=1, annotations={"FAST": b"\x01" + fast})


def requests(trap: Trap) -> Iterator[tuple[int, str, bytes]]:
    """Calls of every dialect and format with a proxy for the trap at every place: dialect, format, message."""
    for dialect, name in packer.DIALECTS:
        gadget = proxy_dict(trap.place, "Pyro4" if dialect == packer.OLD else "Pyro5")
        for wrap in WRAPPERS.values():
            value = wrap(gadget)
            yield dialect, name, packer.call("echo", value, dialect=dialect, name=name)
            yield dialect, name, packer.call("echo", dialect=dialect, name=name, kwargs={"a": value})
        for odd in _odd_calls(gadget, name):
            serializer = packer.IDS[dialect][name]
            for flags in (0, packer.BATCH):
                yield (
                    dialect,
                    name,
                    packer.message(packer.INVOKE, odd, dialect=dialect, serializer=serializer, flags=flags, seq=2),
                )
    gadget = native_proxy(trap.place)
    for value in native_wrappers(gadget):
        yield packer.NEW, "native", packer.call("echo", value)
        yield packer.NEW, "native", packer.call("echo", kwargs={"a": value})
    for odd in _odd_calls(gadget, "native"):
        for flags in (0, packer.BATCH):
            yield packer.NEW, "native", packer.message(packer.INVOKE, odd, flags=flags, seq=2)


def _odd_calls(gadget: Any, name: str) -> Iterator[bytes]:
    for position in range(4):
        parts: list[Any] = ["subject", "echo", [], {}]
        parts[position] = gadget
        if name == "json":
            yield packer.body(name, dict(zip(("object", "method", "params", "kwargs"), parts, strict=True)))
        yield packer.body(name, parts)
    for calls in (
        [gadget],
        [["echo", [], {}], gadget],
        [[gadget, [], {}]],
        [["echo", gadget, {}]],
        [["echo", [], gadget]],
    ):
        yield packer.call_body(name, "subject", "<batch>", calls)
    for method in ("__getattr__", "__setattr__", "get_next_stream_item", "get_metadata", "close_stream", "info"):
        yield packer.call_body(name, "Pyro.Daemon", method, [gadget])
        yield packer.call_body(name, "subject", method, [gadget, gadget])
    yield packer.body(name, gadget)


@cache
def bomb(name: str) -> bytes:
    """Small containers, hundreds of megabytes of them, in some kilobytes."""
    inside, ends = {"serpent": (b"[],", b"[]"), "json": (b"[],", b"[]")}.get(name, (b"\x90", b""))
    data = inside * ((32 << 20) // len(inside))
    start = {"serpent": b"# serpent utf-8 python3.2\n[", "json": b"["}.get(name, struct.pack(">BI", 0xDD, len(data)))
    return zlib.compress(start + data + (ends and ends + b"]"), 1)
