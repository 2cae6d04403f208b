"""Pyro5.serializers: the serializers by class, name and id, under Pyro's method names, and how classes are registered."""

from __future__ import annotations

from typing import Any, ClassVar

from fastpyro.compat.shared.class_dicts import ClassDictMethods, all_exceptions, in_pyros_words
from fastpyro.compat.shared.module_names import also_there
from fastpyro.serializers.registry import IDS, get_serializer
from fastpyro.values.peer_dicts import PYRO5, ClassDicts

__all__ = [
    "JsonSerializer",
    "MarshalSerializer",
    "MsgpackSerializer",
    "SerializerBase",
    "SerpentSerializer",
    "all_exceptions",
    "register_class_to_dict",
    "register_dict_to_class",
    "serializers",
    "serializers_by_id",
    "unregister_class_to_dict",
    "unregister_dict_to_class",
]

__getattr__ = also_there(
    __name__,
    "errors config",
    "array builtins contextlib datetime decimal inspect json logging marshal numbers struct uuid serpent",
)


class SerializerBase(ClassDictMethods):
    """What all serializers have; and the place where classes are registered."""

    name: ClassVar[str]
    serializer_id: ClassVar[int] = 0
    _class_dicts = ClassDicts(PYRO5)

    def dumps(self, data: Any) -> bytes:
        """Return a value as bytes. Raises SerializeError for what cannot travel."""
        return get_serializer(self.name).dumps(data)

    def loads(self, data: Any) -> Any:
        """Return the value that bytes hold."""
        with in_pyros_words():
            return get_serializer(self.name).loads(data)

    def dumpsCall(self, obj: str, method: str, vargs: Any, kwargs: Any) -> Any:
        """Return a call as bytes."""
        return get_serializer(self.name).dumps_call(obj, method, vargs, kwargs)

    def loadsCall(self, data: Any) -> Any:
        """Return (object id, method, args, kwargs), with a list of arguments where one was written."""
        serializer: Any = get_serializer(self.name)
        return serializer.loads_call_as_written(data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SerializerBase) and vars(self) == vars(other)

    __hash__ = object.__hash__


class SerpentSerializer(SerializerBase):
    """Python literals as text."""

    name = "serpent"
    serializer_id = IDS[name]


class MarshalSerializer(SerializerBase):
    """Python's marshal format."""

    name = "marshal"
    serializer_id = IDS[name]


class JsonSerializer(SerializerBase):
    """JSON."""

    name = "json"
    serializer_id = IDS[name]


class MsgpackSerializer(SerializerBase):
    """MessagePack."""

    name = "msgpack"
    serializer_id = IDS[name]


register_class_to_dict = SerializerBase.register_class_to_dict
register_dict_to_class = SerializerBase.register_dict_to_class
unregister_class_to_dict = SerializerBase.unregister_class_to_dict
unregister_dict_to_class = SerializerBase.unregister_dict_to_class

serializers: dict[str, SerializerBase] = {
    serializer.name: serializer
    for serializer in (SerpentSerializer(), MarshalSerializer(), JsonSerializer(), MsgpackSerializer())
}
serializers_by_id = {serializer.serializer_id: serializer for serializer in serializers.values()}
