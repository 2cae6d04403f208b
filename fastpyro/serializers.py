"""The serializers, by name and by the id that messages carry. There is one so far: the native codec.

Knows values and bytes; knows no messages and no sockets. Importing it makes every type that fastpyro knows known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastpyro import numpy_types as numpy_types  # the types of NumPy
from fastpyro import remote_exceptions as remote_exceptions  # exceptions
from fastpyro import standard_types as standard_types  # the types of the standard library
from fastpyro._codec import Codec
from fastpyro.class_registry import from_state, to_state
from fastpyro.errors import SerializeError
from fastpyro.message_kinds import NATIVE_SERIALIZER_ID

__all__ = ["NativeSerializer", "get_serializer", "get_serializer_by_id", "native", "serializers"]


class NativeSerializer:
    """Every type that both sides know, exactly; see ``docs/protocol.md``.

    ``dumps(value)`` and ``loads(bytes, buffers)`` for values, ``dumps_call(object id, method, args, kwargs)`` and
    ``loads_call(bytes, buffers)`` for calls; all raise SerializeError for what cannot travel. ``dumps_parts`` and
    ``dumps_call`` return a list of buffers, to be sent one after the other, when there are big ones among the values.
    """

    name = "native"
    serializer_id = NATIVE_SERIALIZER_ID

    def __init__(self) -> None:
        self.codec = Codec(to_state, from_state)
        # The codec's own methods: no frame between.
        self.dumps: Callable[[Any], bytes] = self.codec.encode
        self.loads: Callable[..., Any] = self.codec.decode
        self.dumps_parts: Callable[[Any], Any] = self.codec.encode_parts
        self.dumps_call: Callable[..., Any] = self.codec.encode_call_parts
        self.loads_call: Callable[..., tuple[str, str, tuple[Any, ...], dict[str, Any]]] = self.codec.decode_call


native = NativeSerializer()
serializers: dict[str, NativeSerializer] = {native.name: native}
serializers_by_id: dict[int, NativeSerializer] = {native.serializer_id: native}


def get_serializer(name: str) -> NativeSerializer:
    """Return the serializer of that name. Raises SerializeError for an unknown one."""
    try:
        return serializers[name]
    except KeyError:
        raise SerializeError(
            f"serializer '{name}' is unknown or not available; there are: {', '.join(serializers)}"
        ) from None


def get_serializer_by_id(serializer_id: int) -> NativeSerializer:
    """Return the serializer of the id that a message carries. Raises SerializeError for an unknown one."""
    try:
        return serializers_by_id[serializer_id]
    except KeyError:
        raise SerializeError(f"serializer with id {serializer_id} is unknown or not available") from None
