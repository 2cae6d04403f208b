"""Pyro5.serializers: the serializers by name and by id, and how classes are registered."""

from __future__ import annotations

from fastpyro.class_registry import (
    SerializerBase,
    register_class_to_dict,
    register_dict_to_class,
    unregister_class_to_dict,
    unregister_dict_to_class,
)
from fastpyro.compat.shared.serializer_table import SerializerTable
from fastpyro.message_kinds import PROTOCOL_VERSION

serializers = SerializerTable(PROTOCOL_VERSION, ("serpent", "marshal", "json", "msgpack"))
serializers_by_id = {serializers[name].serializer_id: serializers[name] for name in serializers}

__all__ = [
    "SerializerBase",
    "register_class_to_dict",
    "register_dict_to_class",
    "serializers",
    "serializers_by_id",
    "unregister_class_to_dict",
    "unregister_dict_to_class",
]
