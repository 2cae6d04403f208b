"""The table of serializers, and the native one as the rest of the package uses it."""

from __future__ import annotations

from typing import Any

import pytest

from fastpyro._batch import BatchWriter, decode_batch
from fastpyro.errors import SerializeError
from fastpyro.message_kinds import NATIVE_SERIALIZER_ID
from fastpyro.serializers import get_serializer, get_serializer_by_id, native, serializers, serializers_by_id
from fastpyro.uri import URI


def test_table() -> None:
    assert get_serializer("native") is native
    assert get_serializer_by_id(NATIVE_SERIALIZER_ID) is native
    assert serializers == {"native": native}
    assert serializers_by_id == {native.serializer_id: native}


def test_unknown_names_and_ids() -> None:
    with pytest.raises(SerializeError, match=r"pickle.*unknown.*native"):
        get_serializer("pickle")
    with pytest.raises(SerializeError, match=r"\b4\b.*unknown"):
        get_serializer_by_id(4)


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
