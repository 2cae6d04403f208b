"""Values whose use is noticed: whoever iterates, compares, converts or calls one, or connects meanwhile, trips it.

``registered()`` makes them known for a test, ``watched(act)`` does something that must not trip any. `DICTS` and `NATIVE`
are what they look like on the wire; ``replaced`` puts one at every place of a message.
"""

from __future__ import annotations

import contextlib
import json
import marshal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import fastpyro
from fastpyro.errors import PyroError
from fastpyro.serializers import registry as serializers
from fastpyro.values import class_registry
from fastpyro.values.class_registry import StateOf

PLACE = "PYRO:x@127.0.0.1:9"
PEERS = ("serpent", "json", "msgpack", "marshal")


class Tripwire:
    """Registered, and nothing of it may run while a message is read."""

    def _trip(self, *_: object) -> NoReturn:
        tripped.append("code of an object ran")
        raise AssertionError

    __iter__ = __len__ = __bool__ = __str__ = __repr__ = __format__ = __getitem__ = __index__ = __contains__ = _trip
    __int__ = __float__ = __lt__ = __next__ = __call__ = __enter__ = __add__ = __getattr__ = _trip
    __class__ = property(_trip)


class Text(str):
    """A text whose comparing and hashing is its own."""

    def __eq__(self, other: object) -> bool:
        tripped.append("a text was compared")
        return False

    __hash__ = str.__hash__

    def __str__(self) -> str:
        tripped.append("a text was converted")
        return ""

    __format__ = None  # type: ignore[assignment]


class Careless:
    """Its __setstate__ takes apart whatever it is given, and looks into it."""

    def __setstate__(self, state: Any) -> None:
        first, *_ = state.values() if type(state) is dict else state
        if type(first) not in (Tripwire, Items):  # what a class does with objects of another is its own affair
            list(first)


class Items:
    """Looks like an iterator and a context manager: whoever streams, iterates or closes it runs it."""

    def _trip(self, *_: object) -> NoReturn:
        tripped.append("a stream ran")
        raise AssertionError

    __iter__ = __next__ = __aiter__ = __anext__ = __await__ = close = send = throw = _trip


class Looked:
    """Its __hash__ looks into what it has."""

    value: Any = ()

    def __hash__(self) -> int:
        return hash(tuple(self.value))

    def __eq__(self, other: object) -> bool:
        return False


tripped: list[str] = []
watching = False
OPEN = frozenset({"socket.connect", "socket.getaddrinfo", "open", "exec", "import", "subprocess.Popen", "os.system"})


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    # NumPy, when it is first needed, and the standard types' modules may be imported: from a fixed list.
    if watching and event in OPEN and event not in ("import", "open", "exec"):
        tripped.append(event)


sys.addaudithook(watch)


PROXY_DICT = {
    "__class__": "Pyro4.core.Proxy",
    "state": [PLACE, [], ["__iter__"], [], 0.0, "b64:eA==", "hello", 0, "pickle"],
}
DICTS: dict[str, Any] = {
    "proxy": PROXY_DICT,
    "proxy of Pyro5": {"__class__": "Pyro5.client.Proxy", "state": [PLACE, [], [], [], "hello", None]},
    "object": {"__class__": "inert.Tripwire"},
    "stream": {"__class__": "inert.Items"},
    "proxy for a __setstate__": {"__class__": "inert.Careless", "a": PROXY_DICT},
    "long int": 10**4000,
    "exception": {"__class__": "ValueError", "__exception__": True, "args": [PROXY_DICT], "attributes": {}},
    "daemon": {"__class__": "Pyro5.server.Daemon", "state": []},
}
NATIVE: dict[str, Any] = {
    "proxy": StateOf("fastpyro.Proxy", (PLACE, ("m",), ("__iter__",), (), "hello", None)),
    "object": StateOf("inert.Tripwire", {}),
    "stream": StateOf("inert.Items", {}),
    "text": StateOf("inert.Text", ("x", {})),
    "array": StateOf("array", ("i", 4, b"\0" * 8)),
    "proxy for a __setstate__": StateOf(
        "inert.Careless", {"a": StateOf("fastpyro.Proxy", (PLACE, (), ("__iter__",), (), "hello", None))}
    ),
    "long int": 10**4000,
    "slice": slice(None, None, None),
}

CLASS_DICTS: list[Any] = [
    {"__class__": "collections.OrderedDict", "items": [["a", 1], ["b", 2]]},
    {"__class__": "float", "value": "nan"},
    {"__class__": "complex", "real": 1.0, "imag": 2.0},
    {"__class__": "Pyro5.core.URI", "state": ["PYRO", "x", None, "localhost", 9]},
    {"__class__": "Pyro4.core.URI", "state": ["PYROMETA", ["a", "b"], None, None, None]},
    {"__class__": "Pyro5.client.Proxy", "state": [PLACE, ["a"], ["b"], ["c"], "hello", "json"]},
    {"__class__": "Pyro4.core.Proxy", "state": [PLACE, ["a"], ["b"], ["c"], 0.0, None, "hello", 0, "json"]},
    {
        "__class__": "Pyro5.core._ExceptionWrapper",
        "exception": {"__class__": "KeyError", "__exception__": True, "args": [1]},
    },
    {"__class__": "OSError", "__exception__": True, "args": [2, "x", "y"], "attributes": {"_pyroTraceback": ["line"]}},
    {"__class__": "SyntaxError", "__exception__": True, "args": ["m", ["f", 1, 2, "t"]], "attributes": {"a": 1}},
    {"__class__": "UnicodeDecodeError", "__exception__": True, "args": ["utf-8", "x", 0, 1, "r"], "attributes": {}},
    {"__class__": "ExceptionGroup", "__exception__": True, "args": ["m", [1]], "attributes": {}},
    {"__class__": "inert.Looked", "value": [1]},
    {"__class__": "inert.Careless", "a": [1]},
]
STATES: list[Any] = [
    StateOf("fastpyro.URI", ("PYRO", "x", None, "localhost", 9)),
    StateOf("fastpyro.URI", ("PYROMETA", {"a"}, None, None, None)),
    StateOf("fastpyro.Proxy", (PLACE, ("a",), ("b",), ("c",), "hello", "json")),
    StateOf("exception", ("builtins.OSError", (2, "x", "y"), {"a": 1}, ["line"], ["note"], {"errno": 2})),
    StateOf("exception", ("builtins.ExceptionGroup", ("m", [1]), {}, [], [], {})),
    StateOf("exception", ("builtins.SyntaxError", ("m", ("f", 1, 2, "t")), {}, [], [], {})),
    StateOf("decimal", "1.5"),
    StateOf("fraction", (1, 2)),
    StateOf("uuid", b"0" * 16),
    StateOf("path", ("PurePosixPath", "/a")),
    StateOf("slice", (1, 2, 3)),
    StateOf("range", (1, 2, 3)),
    StateOf("deque", ([1], 2)),
    StateOf("OrderedDict", {"a": 1}),
    StateOf("Counter", {"a": 1}),
    StateOf("defaultdict", ("list", {"a": 1})),
    StateOf("ipaddress", ("IPv4Network", "1.2.3.0/24")),
    StateOf("NotImplemented", None),
    StateOf("UserDict", {"a": 1}),
    StateOf("UserList", [1]),
    StateOf("array", ("i", 4, b"\0" * 8)),
    StateOf("numpy.ndarray", ("<i4", (2,), "C", b"\0" * 8)),
    StateOf("numpy.generic", ("<i4", b"\0" * 4)),
    StateOf("numpy.dtype", "<i4"),
    StateOf("numpy.dtype", (False, 8, False, (("a", "t", 0, ("<i4", (2,))),))),
    StateOf("numpy.ma.MaskedArray", (StateOf("numpy.ndarray", ("<i4", (2,), "C", b"\0" * 8)), None, None, False)),
    StateOf("numpy.recarray", StateOf("numpy.ndarray", ("<i4", (2,), "C", b"\0" * 8))),
    StateOf("inert.Text", ("x", {})),
    StateOf("inert.Careless", {"a": [1]}),
]


def replaced(value: Any, wire: Any) -> Iterator[Any]:
    """Yield the value with each of its nodes, itself first, replaced by a tripwire."""
    yield wire
    if type(value) is StateOf:
        for state in replaced(value.state, wire):
            yield StateOf(value.class_name, state)
    elif type(value) is dict:
        for key, item in value.items():
            for other in replaced(item, wire):
                yield {**value, key: other}
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):
            for other in replaced(item, wire):
                yield type(value)([*value[:index], other, *value[index + 1 :]])


def serpent_text(value: Any) -> str:
    if type(value) is dict:
        return "{" + ",".join(f"{serpent_text(key)}:{serpent_text(item)}" for key, item in value.items()) + "}"
    if type(value) in (list, tuple):
        return "[" + ",".join(map(serpent_text, value)) + "]"
    return repr(value)


ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "serpent": lambda value: b"# serpent utf-8 python3.2\n" + serpent_text(value).encode(),
    "json": lambda value: json.dumps(value).encode(),
    "msgpack": lambda value: serializers.get_serializer("msgpack").dumps(value),
    "marshal": lambda value: marshal.dumps(value, 2),
    "native": lambda value: serializers.native.dumps(value),
}


def wires_of(name: str) -> Iterator[Any]:
    yield from (NATIVE if name == "native" else DICTS).values()


@contextlib.contextmanager
def registered() -> Iterator[None]:
    """Register the tripwires' classes, and forget them again."""
    tables: list[dict[Any, Any]] = [class_registry._builders, class_registry._registered, class_registry._classes]
    before = [dict(table) for table in tables]
    for cls in (Tripwire, Text, Careless, Looked, Items):
        fastpyro.register_class(cls, f"inert.{cls.__name__}")
    tripped.clear()
    yield
    for table, content in zip(tables, before, strict=True):
        table.clear()
        table.update(content)
    class_registry._forget_writers()


def watched(act: Callable[[], Any], *errors: type[BaseException], told: Any = None) -> Any:
    """Do it while nothing may be opened or run. A PyroError is no surprise (None is returned), nor are the other errors."""
    global watching
    watching = True
    try:
        return act()
    except (PyroError, *errors):  # type: ignore[misc]
        return None
    finally:
        watching = False
        assert not tripped, (tripped, told)
