"""Arguments that pass through a process without being decoded: who forwards them need not know what they are."""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.constants import FLAGS_COMPRESSED, JSON_ID
from fastpyro.errors import ProtocolError, SerializeError
from fastpyro.protocol.compression import payload_of
from fastpyro.serializers import registry as serializers
from fastpyro.values.checked import mapping_of, text_of, tuple_of

if TYPE_CHECKING:
    from typing import Any

    from fastpyro.protocol._message import Message
    from fastpyro.serializers.registry import Serializer

__all__ = ["BLOB_ANNOTATION", "SerializedBlob", "blob_annotation", "read_blob_annotation", "received_blob"]

BLOB_ANNOTATION = "BLBI"
"""Annotation of a request with a blob: (info, object id, method) in marshal's format."""


class SerializedBlob:
    """The only argument of a call, which the receiver gets without decoding it, together with some information about it.

    Arguments: ``info``, plain values that every receiver can read; ``data``, any value that can be sent; ``is_blob``, for
    fastpyro itself: ``data`` is a received message. A method that is called with one gets one, and may hand it on in a
    call of its own, unchanged. Raises TypeError for ``is_blob`` with anything but a message.
    """

    __module__ = "fastpyro"

    def __init__(self, info: Any, data: Any, is_blob: bool = False) -> None:
        if is_blob and not hasattr(data, "serializer_id"):
            raise TypeError("data of a blob that came from another process is the message that it came in")
        self.info = info
        self._data = data
        self._is_blob = is_blob
        self._dialect = 0

    def deserialized(self) -> Any:
        """Return the data. Raises SerializeError when it cannot be decoded here."""
        if not self._is_blob:
            return self._data
        message = self._data
        serializer = serializers.get_serializer_by_id(message.serializer_id, self._dialect)
        call = serializer.loads(payload_of(message), message.buffers)
        if message.serializer_id != JSON_ID:
            return tuple_of(call, "the payload of a blob, which is a call,", 4)[2]
        call = mapping_of(call, "the payload of a blob, which is a call,")
        if "params" not in call:
            raise SerializeError("the payload of a blob is a call, which has params")
        return call["params"]

    def request(self, serializer: Serializer, object_id: str, method: str) -> tuple[Any, int, int]:
        """Return payload, serializer id and flags of the request that carries the blob."""
        if self._is_blob:
            message = self._data
            if message.buffers:
                raise SerializeError("a blob with big buffers cannot be handed on; decode it and send its data")
            return message.payload, message.serializer_id, message.flags & FLAGS_COMPRESSED
        if serializer.name == "json":
            call: Any = {"object": object_id, "method": method, "params": self._data, "kwargs": {}}
        else:
            call = (object_id, method, self._data, {})
        return serializer.dumps(call), serializer.serializer_id, 0


def received_blob(message: Message, dialect: int) -> tuple[SerializedBlob, str, str]:
    """Return the blob of a request, and the object id and method that it is for. Raises ProtocolError."""
    info, object_id, method = read_blob_annotation(message.annotations.get(BLOB_ANNOTATION), dialect)
    blob = SerializedBlob(info, message, is_blob=True)
    blob._dialect = dialect
    return blob, object_id, method


def blob_annotation(info: Any, object_id: str, method: str, dialect: int) -> bytes:
    """Return the annotation of a request with a blob. Raises SerializeError for an info of other than plain values."""
    return serializers.get_serializer("marshal", dialect).dumps((info, object_id, method))


def read_blob_annotation(data: bytes | None, dialect: int) -> tuple[Any, str, str]:
    """Return (info, object id, method). Raises ProtocolError when the annotation is anything else."""
    try:
        content = None if data is None else serializers.get_serializer("marshal", dialect).loads(data)
        info, object_id, method = tuple_of(content, "it", 3)
        return info, text_of(object_id, "the object id"), text_of(method, "the method")
    except SerializeError as error:
        raise ProtocolError(
            f"a request with a blob has the annotation {BLOB_ANNOTATION}: info, object id, method ({error})"
        ) from None
