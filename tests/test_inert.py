"""Tripwires at every place of every message: reading one connects nowhere, opens nothing, and runs no code of an object.

Valid messages of each kind, serializer and dialect are taken apart, and each node of each is replaced by each tripwire. What
reads them runs here, in process: the daemon's `dispatch.handle`, and what a client does with answers and replies. Nothing
may come of it but a value or a PyroError.
"""

from __future__ import annotations

import json
import marshal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

import fastpyro
from fastpyro import blobs, class_registry, remote_calls, serializers
from fastpyro.batch_values import read_batch, read_results
from fastpyro.class_registry import StateOf
from fastpyro.errors import PyroError

PLACE = "PYRO:x@127.0.0.1:9"
PEERS = ("serpent", "json", "msgpack", "marshal")


class Tripwire:
    """Registered, and nothing of it may run while a message is read."""

    def _trip(self, *_: object) -> NoReturn:
        tripped.append("code of an object ran")
        raise AssertionError

    __iter__ = __len__ = __bool__ = __str__ = __repr__ = __format__ = __getitem__ = __index__ = __contains__ = _trip
    __int__ = __float__ = __lt__ = __next__ = __call__ = __enter__ = __add__ = __getattr__ = _trip
    __class__ = property(_trip)  # type: ignore[assignment]


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
        if type(first) is not Tripwire:  # what a class does with objects of another is its own affair
            list(first)


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


@pytest.fixture(autouse=True)
def classes() -> Iterator[None]:
    """Register the tripwires' classes, and forget them again."""
    before = dict(class_registry._builders), dict(class_registry._registered), dict(class_registry._classes)
    for cls in (Tripwire, Text, Careless, Looked):
        fastpyro.register_class(cls, f"inert.{cls.__name__}")
    tripped.clear()
    yield
    for table, content in zip(
        (class_registry._builders, class_registry._registered, class_registry._classes), before, strict=True
    ):
        table.clear()
        table.update(content)  # type: ignore[arg-type]
    class_registry._forget_writers()


PROXY_DICT = {
    "__class__": "Pyro4.core.Proxy",
    "state": [PLACE, [], ["__iter__"], [], 0.0, "b64:eA==", "hello", 0, "pickle"],
}
DICTS: dict[str, Any] = {
    "proxy": PROXY_DICT,
    "proxy of Pyro5": {"__class__": "Pyro5.client.Proxy", "state": [PLACE, [], [], [], "hello", None]},
    "object": {"__class__": "inert.Tripwire"},
    "proxy for a __setstate__": {"__class__": "inert.Careless", "a": PROXY_DICT},
    "long int": 10**4000,
    "exception": {"__class__": "ValueError", "__exception__": True, "args": [PROXY_DICT], "attributes": {}},
    "daemon": {"__class__": "Pyro5.server.Daemon", "state": []},
}
NATIVE: dict[str, Any] = {
    "proxy": StateOf("fastpyro.Proxy", (PLACE, ("m",), ("__iter__",), (), "hello", None)),
    "object": StateOf("inert.Tripwire", {}),
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
    StateOf("array", ("i", 4, b"\0" * 8)),
    StateOf("numpy.ndarray", ("<i4", (2,), "C", b"\0" * 8)),
    StateOf("numpy.generic", ("<i4", b"\0" * 4)),
    StateOf("numpy.dtype", "<i4"),
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


def requests(content: Any) -> Iterator[Any]:
    """Yield what messages consist of, with a content in its place: calls, batches, handshakes, answers, replies."""
    yield ["o", "m", [content], {"a": content}]
    yield {"object": "o", "method": "m", "params": [content], "kwargs": {"a": content}}
    yield ["o", "<batch>", [["m", [content], {"a": content}]], {}]
    yield {"handshake": content, "object": "o"}
    yield {"handshake": content, "meta": {"methods": ["a"], "attrs": ["b"], "oneway": []}}
    yield [content, content]


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


def readers(name: str, dialect: int) -> list[Callable[[bytes], Any]]:
    """Return all that is done with a payload, on either side."""
    serializer = serializers.get_serializer(name, dialect)

    def batch(data: bytes) -> Any:
        return read_batch(serializer.loads_call(data))

    def results(data: bytes) -> Any:
        return read_results(serializer.loads(data))

    def error(data: bytes) -> Any:
        return remote_calls._error_in(serializer.loads(data))

    def annotation(data: bytes) -> Any:
        return blobs.read_blob_annotation(data, dialect)

    found: list[Callable[[bytes], Any]] = [serializer.loads, serializer.loads_call, error]
    if name != "native":
        found += [batch, results]
    else:
        from fastpyro._batch import decode_batch, decode_results

        codec = serializers.native.codec
        found += [lambda data: decode_batch(codec, data), lambda data: decode_results(codec, data)]
    return [*found, annotation] if name == "marshal" else found


def check(data: bytes, reading: list[Callable[[bytes], Any]]) -> None:
    global watching
    for read in reading:
        watching = True
        try:
            read(data)
        except PyroError:
            pass
        finally:
            watching = False
        assert not tripped, (tripped, data)


def contents(name: str) -> Iterator[Any]:
    wires, values = (NATIVE, STATES) if name == "native" else (DICTS, CLASS_DICTS)
    for wire in wires.values():
        for value in values:
            yield from replaced(value, wire)


@pytest.mark.parametrize("dialect", [502, 48])
@pytest.mark.parametrize("name", [*PEERS, "native"])
def test_values_are_inert_wherever_they_stand(name: str, dialect: int) -> None:
    reading, encode, count = readers(name, dialect)[:1], ENCODERS[name], 0
    for content in contents(name):
        check(encode([content]), reading)
        count += 1
    assert count > 300


@pytest.mark.parametrize("dialect", [502, 48])
@pytest.mark.parametrize("name", [*PEERS, "native"])
def test_each_part_of_each_message_may_be_anything(name: str, dialect: int) -> None:
    reading, encode = readers(name, dialect), ENCODERS[name]
    for wire in (NATIVE if name == "native" else DICTS).values():
        for message in requests("x"):
            for broken in replaced(message, wire):
                check(encode(broken), reading)
                if name == "native" and type(broken) is list:
                    check(encode(tuple(broken)), reading)


def test_a_hash_of_ones_own_sees_no_proxy() -> None:
    for wrap in (lambda key: {key: 1}, lambda key: {key}, lambda key: frozenset({(1, key)})):
        key = Looked()
        message = wrap(key)
        key.value = [fastpyro.Proxy(PLACE)]
        check(serializers.native.dumps(message), [serializers.native.loads])
        with pytest.raises(PyroError, match="holds no proxy"):
            serializers.native.loads(serializers.native.dumps(message))


def test_the_tripwires_do_trip() -> None:
    proxy = serializers.get_serializer("json", 48).loads(json.dumps(PROXY_DICT).encode())
    with pytest.raises(fastpyro.errors.CommunicationError):
        proxy._pyroBind()
    wire = serializers.native.loads(serializers.native.dumps(NATIVE["object"]))
    with pytest.raises(AssertionError):
        list(wire)
    assert tripped
