"""Pyro4.util: tracebacks, serializers, and what of an object is exposed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

from fastpyro import errors
from fastpyro.compat.shared.class_dicts import ClassDictMethods, all_exceptions, in_pyros_words
from fastpyro.compat.shared.module_names import also_there
from fastpyro.config import config
from fastpyro.constants import FLAGS_COMPRESSED, OLD_PROTOCOL_VERSION
from fastpyro.protocol._pyro4_message import SERIALIZERS
from fastpyro.protocol.compression import deflated, payload_of
from fastpyro.serializers.registry import IDS
from fastpyro.serializers.registry import get_serializer as _get_serializer
from fastpyro.server import exposure
from fastpyro.server.exposure import is_private_attribute
from fastpyro.tracebacks import excepthook
from fastpyro.tracebacks import format_traceback as formatTraceback
from fastpyro.tracebacks import get_pyro_traceback as getPyroTraceback
from fastpyro.values.class_registry import register_decoder
from fastpyro.values.peer_dicts import PYRO4, ClassDicts

__all__ = [
    "CloudpickleSerializer",
    "DillSerializer",
    "JsonSerializer",
    "MarshalSerializer",
    "MsgpackSerializer",
    "PickleSerializer",
    "SerializerBase",
    "SerpentSerializer",
    "all_exceptions",
    "excepthook",
    "fixIronPythonExceptionForPickle",
    "formatTraceback",
    "getAttribute",
    "getPyroTraceback",
    "get_exposed_members",
    "get_exposed_property_value",
    "get_serializer",
    "get_serializer_by_id",
    "is_private_attribute",
    "reset_exposed_members",
    "set_exposed_property_value",
    "sys",  # which programs get that import *: Pyro4's module has no __all__
]

__getattr__ = also_there(
    __name__,
    "config errors message",
    "array builtins copyreg datetime decimal importlib inspect json linecache logging marshal numbers pickle struct "
    "traceback uuid zlib serpent",
)

_PYRO4_IDS = dict(SERIALIZERS)


class SerializerBase(ClassDictMethods):
    """What all serializers have; and the place where classes are registered.

    A serializer turns values into bytes (``serializeData``, ``dumps``) and calls into bytes (``serializeCall``,
    ``dumpsCall``), and back. Everything raises SerializeError for what cannot travel.
    """

    name: ClassVar[str]
    serializer_id: ClassVar[int]
    _class_dicts = ClassDicts(PYRO4)

    def __init__(self) -> None:
        self._serializer()  # raises for one that is not installed

    def _serializer(self) -> Any:
        return _get_serializer(self.name, OLD_PROTOCOL_VERSION)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))

    def serializeData(self, data: Any, compress: bool = False) -> tuple[bytes, bool]:
        """Return a value as bytes, and whether they are compressed, which they are only if that is shorter."""
        return _perhaps_deflated(self.dumps(data), compress)

    def deserializeData(self, data: Any, compressed: bool = False) -> Any:
        """Return the value that bytes hold."""
        return self.loads(_inflated(data) if compressed else data)

    def serializeCall(
        self, obj: str, method: str, vargs: Any, kwargs: Any, compress: bool = False
    ) -> tuple[bytes, bool]:
        """Return a call as bytes, and whether they are compressed, which they are only if that is shorter."""
        return _perhaps_deflated(self.dumpsCall(obj, method, vargs, kwargs), compress)

    def deserializeCall(self, data: Any, compressed: bool = False) -> Any:
        """Return the (object id, method, args, kwargs) that bytes hold."""
        return self.loadsCall(_inflated(data) if compressed else data)

    def dumps(self, data: Any) -> bytes:
        """Return a value as bytes."""
        return self._serializer().dumps(data)  # type: ignore[no-any-return]

    def loads(self, data: Any) -> Any:
        """Return the value that bytes hold."""
        with in_pyros_words():
            return self._serializer().loads(bytes(data))

    def dumpsCall(self, obj: str, method: str, vargs: Any, kwargs: Any) -> bytes:
        """Return a call as bytes."""
        return self._serializer().dumps_call(obj, method, vargs, kwargs)  # type: ignore[no-any-return]

    def loadsCall(self, data: Any) -> Any:
        """Return the (object id, method, args, kwargs) that bytes hold, with a list of arguments where one was written."""
        return self._serializer().loads_call_as_written(bytes(data))


def _perhaps_deflated(data: bytes, compress: bool) -> tuple[bytes, bool]:
    packed, flag = deflated(data) if compress else (data, 0)
    return packed, bool(flag)


def _inflated(data: Any) -> bytes:
    packed: Any = SimpleNamespace(flags=FLAGS_COMPRESSED, payload=bytes(data))
    return payload_of(packed)


class SerpentSerializer(SerializerBase):
    """Python literals as text."""

    name = "serpent"
    serializer_id = _PYRO4_IDS[IDS[name]]


class JsonSerializer(SerializerBase):
    """JSON."""

    name = "json"
    serializer_id = _PYRO4_IDS[IDS[name]]


class MarshalSerializer(SerializerBase):
    """Python's marshal format."""

    name = "marshal"
    serializer_id = _PYRO4_IDS[IDS[name]]


class MsgpackSerializer(SerializerBase):
    """MessagePack."""

    name = "msgpack"
    serializer_id = _PYRO4_IDS[IDS[name]]


class PickleSerializer(SerializerBase):
    """Pickles: reading one runs what its writer wants."""

    name = "pickle"
    serializer_id = _PYRO4_IDS[IDS[name]]


class DillSerializer(SerializerBase):
    """Pickles of the package dill, if it is installed."""

    name = "dill"
    serializer_id = _PYRO4_IDS[IDS[name]]


class CloudpickleSerializer(SerializerBase):
    """Pickles of the package cloudpickle, if it is installed."""

    name = "cloudpickle"
    serializer_id = _PYRO4_IDS[IDS[name]]


_made: dict[type[SerializerBase], SerializerBase] = {}


class _Serializers(Mapping[Any, SerializerBase]):
    """Serializers, made when they are first asked for. Arguments: ``key``, the attribute by which they are found."""

    def __init__(self, key: str) -> None:
        classes = (
            SerpentSerializer, JsonSerializer, MarshalSerializer, MsgpackSerializer, PickleSerializer, DillSerializer,
            CloudpickleSerializer,
        )  # fmt: skip
        self._classes: dict[Any, type[SerializerBase]] = {getattr(cls, key): cls for cls in classes}

    def __getitem__(self, key: Any) -> SerializerBase:
        cls = self._classes[key]
        if cls not in _made:
            _made[cls] = cls()
        return _made[cls]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


_serializers = _Serializers("name")
_NAMES: dict[str, str] = {f"Pyro4.util.{kind.__name__}": name for name, kind in _serializers._classes.items()}
for _class_name in _NAMES:
    register_decoder(_class_name, lambda class_name, state: _serializers[_NAMES[class_name]])
_serializers_by_id = _Serializers("serializer_id")


def get_serializer(name: str) -> SerializerBase:
    """Return the serializer of that name. Raises SerializeError for one that is unknown, or not installed."""
    try:
        return _serializers[name]
    except KeyError:
        raise errors.SerializeError(f"serializer '{name}' is unknown or not available") from None


def get_serializer_by_id(sid: int) -> SerializerBase:
    """Return the serializer of that id in protocol 48. Raises SerializeError for one that is unknown, or not installed."""
    try:
        return _serializers_by_id[sid]
    except KeyError:
        raise errors.SerializeError(f"no serializer available for id {sid}: it is unknown, or not installed") from None


def fixIronPythonExceptionForPickle(exceptionObject: BaseException, addAttributes: bool) -> None:
    """Do nothing: exceptions of CPython keep their attributes in a pickle."""


def getAttribute(obj: Any, attr: str) -> Any:
    """Return the method that a client's call means. Raises AttributeError for a private, unknown, or unexposed name."""
    return exposure.resolve_method(obj, attr, config.REQUIRE_EXPOSE)


def get_exposed_members(
    obj: Any, only_exposed: bool = True, as_lists: bool = False, use_cache: bool = True
) -> dict[str, Any]:
    """Return the names that clients may use of an object or class, under "methods", "oneway" and "attrs".

    Arguments: ``only_exposed``: only members that are marked with @expose; ``as_lists``: lists and not sets;
    ``use_cache``: members that were added since the last time may be missing.
    """
    if not use_cache:
        reset_exposed_members(obj)
    metadata = exposure.metadata_of(obj, only_exposed)
    return {key: list(names) for key, names in metadata.items()} if as_lists else dict(metadata)


def reset_exposed_members(obj: Any, only_exposed: bool = True, as_lists: bool = False) -> None:
    """Forget which members an object's class has, after some were added; the other arguments change nothing."""
    exposure.reset_members(obj if isinstance(obj, type) else type(obj))


def get_exposed_property_value(obj: Any, propname: str, only_exposed: bool = True) -> Any:
    """Return the value of an exposed property. Raises AttributeError for anything else."""
    return exposure.get_exposed_property(obj, propname, only_exposed)


def set_exposed_property_value(obj: Any, propname: str, value: Any, only_exposed: bool = True) -> None:
    """Set an exposed property. Raises AttributeError for anything else."""
    exposure.set_exposed_property(obj, propname, value, only_exposed)
