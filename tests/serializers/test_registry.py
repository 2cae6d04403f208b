"""The table of serializers, and the native one as the rest of the package uses it."""

from __future__ import annotations

from typing import Any

import pytest

from fastpyro.constants import NATIVE_SERIALIZER_ID, OLD_PROTOCOL_VERSION, PROTOCOL_VERSION
from fastpyro.errors import SerializeError
from fastpyro.protocol._batch import BatchWriter, decode_batch
from fastpyro.serializers.registry import IDS, PICKLES, accepted_ids, get_serializer, get_serializer_by_id, native
from fastpyro.uri import URI

PLAIN = sorted(IDS.keys() - PICKLES - {"native"})


def test_the_native_one() -> None:
    assert get_serializer("native") is native
    assert get_serializer_by_id(NATIVE_SERIALIZER_ID) is native
    assert get_serializer("native", OLD_PROTOCOL_VERSION) is native


@pytest.mark.parametrize("dialect", [PROTOCOL_VERSION, OLD_PROTOCOL_VERSION])
@pytest.mark.parametrize("name", PLAIN)
def test_those_of_the_peers(name: str, dialect: int) -> None:
    serializer = get_serializer(name, dialect)
    assert serializer is get_serializer_by_id(IDS[name], dialect)
    assert serializer.name == name
    assert serializer.loads(serializer.dumps([1, "x", {"k": None}])) == [1, "x", {"k": None}]
    assert serializer.loads_call(serializer.dumps_call("o", "m", ("a", 1), {"k": 2})) == ("o", "m", ("a", 1), {"k": 2})
    assert serializer.loads_call(serializer.dumps_call("o", "m", ["a"], None)) == ("o", "m", ("a",), {})


def test_ids_are_those_of_protocol_502() -> None:
    assert [IDS[name] for name in ("serpent", "marshal", "json", "msgpack")] == [1, 2, 3, 4]


def test_each_dialect_has_its_own_names() -> None:
    uri = URI("PYRO:x@h:1")
    assert b"Pyro5.core.URI" in get_serializer("serpent").dumps(uri)
    assert b"Pyro4.core.URI" in get_serializer("serpent", OLD_PROTOCOL_VERSION).dumps(uri)


def test_accepted_ids() -> None:
    assert accepted_ids(["serpent", "native"]) == {1, NATIVE_SERIALIZER_ID}
    with pytest.raises(SerializeError, match="yaml"):
        accepted_ids(["yaml"])


def test_unknown_names_and_ids() -> None:
    with pytest.raises(SerializeError, match=r"yaml.*unknown.*native"):
        get_serializer("yaml")
    with pytest.raises(SerializeError, match=r"\b5\b.*unknown"):
        get_serializer_by_id(5)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_values_and_calls_from_any_buffer(kind: Any) -> None:
    value = {"uri": URI("PYRO:a@b:1"), "list": [1, (2.5, None)]}
    assert native.loads(kind(native.dumps(value))) == value
    data = native.dumps_call("object", "method", (1, URI("PYRO:a@b:1")), {"key": {1}})
    assert native.loads_call(kind(data)) == ("object", "method", (1, URI("PYRO:a@b:1")), {"key": {1}})


def test_no_python_frame_between() -> None:
    for method in (native.dumps, native.loads, native.dumps_call, native.loads_call):
        assert getattr(method, "__self__", None) is native.codec


def test_codec_serves_batches() -> None:
    writer = BatchWriter(native.codec)
    writer.add("method", (URI("PYRO:a@b:1"),))
    assert decode_batch(native.codec, writer.payload("object")) == ("object", [("method", (URI("PYRO:a@b:1"),), None)])


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91", b"\xc7\x05\x0c\x92\xa1x\xc0"])
def test_bytes_that_are_no_value(data: bytes) -> None:
    with pytest.raises(SerializeError):
        native.loads(data)
    with pytest.raises(SerializeError):
        native.loads_call(data)
