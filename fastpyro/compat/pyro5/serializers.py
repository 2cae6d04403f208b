"""Pyro5.serializers: the serializers by name and by id, under Pyro's method names, and how classes are registered."""

from __future__ import annotations

from typing import Any

from fastpyro.serializers.registry import Serializer, get_serializer
from fastpyro.values.registration import (
    SerializerBase,
    register_class_to_dict,
    register_dict_to_class,
    unregister_class_to_dict,
    unregister_dict_to_class,
)

__all__ = [
    "SerializerBase",
    "register_class_to_dict",
    "register_dict_to_class",
    "serializers",
    "serializers_by_id",
    "unregister_class_to_dict",
    "unregister_dict_to_class",
]


class PeerFace:
    """A serializer with Pyro's method names. Arguments: ``serializer``."""

    def __init__(self, serializer: Serializer) -> None:
        self._serializer = serializer
        self.serializer_id = serializer.serializer_id
        self.dumps = serializer.dumps

    def loads(self, data: Any) -> Any:
        """Return the value that bytes hold."""
        return self._serializer.loads(data)

    def dumpsCall(self, obj: str, method: str, vargs: Any, kwargs: Any) -> Any:
        """Return a call as bytes."""
        return self._serializer.dumps_call(obj, method, vargs, kwargs)

    def loadsCall(self, data: Any) -> Any:
        """Return (object id, method, args, kwargs)."""
        return self._serializer.loads_call(data)


serializers = {name: PeerFace(get_serializer(name)) for name in ("serpent", "marshal", "json", "msgpack")}
serializers_by_id = {serializer.serializer_id: serializer for serializer in serializers.values()}
