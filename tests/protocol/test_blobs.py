"""Blobs pass through, undecoded."""

from __future__ import annotations

import marshal
from typing import Any

import pytest

from fastpyro.constants import FLAGS_COMPRESSED, FLAGS_KEEPSERIALIZED, MSG_INVOKE
from fastpyro.errors import ProtocolError, SerializeError
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Message, pack_message
from fastpyro.protocol.blobs import SerializedBlob, blob_annotation, read_blob_annotation, received_blob
from fastpyro.protocol.compression import deflated
from fastpyro.serializers.registry import get_serializer, native


def arrived(payload: bytes, serializer_id: int, annotation: bytes | None, flags: int = 0) -> Message:
    decoder = Decoder()
    annotations = {} if annotation is None else {"BLBI": annotation}
    decoder.feed(pack_message(MSG_INVOKE, FLAGS_KEEPSERIALIZED | flags, 1, serializer_id, payload, annotations))
    message = decoder.next_message()
    assert message is not None
    return message


@pytest.mark.parametrize("name", ["native", "serpent", "json", "msgpack", "marshal"])
def test_through_two_hands(name: str) -> None:
    serializer = get_serializer(name)
    blob = SerializedBlob({"info": 1}, [1, "two"])
    assert blob.deserialized() == [1, "two"]
    payload, serializer_id, flags = blob.request(serializer, "obj", "m")
    assert (serializer_id, flags) == (serializer.serializer_id, 0)
    message = arrived(payload, serializer_id, blob_annotation(blob.info, "obj", "m", 502))
    received, object_id, method = received_blob(message, 502)
    assert (received.info, object_id, method) == ({"info": 1}, "obj", "m")
    forwarded, serializer_id, _ = received.request(native, "another", "n")  # in the serializer that it came in
    assert (forwarded, serializer_id) == (payload, serializer.serializer_id)
    assert received.deserialized() == [1, "two"]


def test_a_compressed_one_stays_compressed() -> None:
    payload, _, _ = SerializedBlob(None, ["x" * 1000]).request(get_serializer("serpent"), "o", "m")
    packed, flag = deflated(payload)
    blob, _, _ = received_blob(arrived(packed, 1, blob_annotation(None, "o", "m", 502), flag), 502)
    assert blob.request(native, "o", "m") == (packed, 1, FLAGS_COMPRESSED)
    assert blob.deserialized() == ["x" * 1000]


@pytest.mark.parametrize(
    "annotation", [None, b"", marshal.dumps(1, 2), marshal.dumps((1, 2, 3), 2), marshal.dumps((1, "o"), 2)]
)
def test_bad_annotations(annotation: bytes | None) -> None:
    with pytest.raises(ProtocolError):
        read_blob_annotation(annotation, 502)


def test_misuse() -> None:
    with pytest.raises(TypeError, match="message"):
        SerializedBlob(None, b"data", is_blob=True)
    with pytest.raises(SerializeError):
        blob_annotation(object(), "o", "m", 502)
    message: Any = arrived(get_serializer("serpent").dumps(5), 1, blob_annotation(None, "o", "m", 502))
    with pytest.raises(SerializeError, match="a call"):
        received_blob(message, 502)[0].deserialized()
