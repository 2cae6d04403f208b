"""The serializers: by name for who writes, by dialect and by the id that messages carry for who reads.

Knows values and bytes; knows no messages and no sockets. Importing it makes every type that fastpyro knows known. The
native one is there from the start; those of the peers are made when they are first asked for.
Rule 1: a serializer is used on what comes from a peer only if it is among the accepted ones. The pickles never are by
        themselves: they run what the peer wrote, and need a peer that has shown who it is as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.config import config, on_change
from fastpyro.constants import (
    CLOUDPICKLE_ID,
    DILL_ID,
    JSON_ID,
    MARSHAL_ID,
    MSGPACK_ID,
    NATIVE_SERIALIZER_ID,
    OLD_PROTOCOL_VERSION,
    PICKLE_ID,
    PROTOCOL_VERSION,
    SERPENT_ID,
)
from fastpyro.errors import SerializeError
from fastpyro.serializers import numpy_arrays as numpy_arrays  # the types of NumPy
from fastpyro.serializers._codec import Codec
from fastpyro.values import collection_types as collection_types  # the collections of the standard library
from fastpyro.values import exceptions as exceptions  # exceptions
from fastpyro.values import standard_types as standard_types  # the types of the standard library
from fastpyro.values.class_registry import from_state, to_state

if TYPE_CHECKING:
    from typing import Any

    from fastpyro.values.peer_dicts import ClassDicts

__all__ = [
    "IDS",
    "PICKLES",
    "PICKLE_IDS",
    "NativeSerializer",
    "PeerSerializer",
    "Serializer",
    "accepted_ids",
    "check_name",
    "get_serializer",
    "get_serializer_by_id",
    "native",
    "safe_name",
]

IDS: dict[str, int] = {
    "native": NATIVE_SERIALIZER_ID,
    "serpent": SERPENT_ID,
    "json": JSON_ID,
    "msgpack": MSGPACK_ID,
    "marshal": MARSHAL_ID,
    "pickle": PICKLE_ID,
    "dill": DILL_ID,
    "cloudpickle": CLOUDPICKLE_ID,
}
"""Serializer ids by name, in the numbers of protocol 502."""

NAMES = {serializer_id: name for name, serializer_id in IDS.items()}

PICKLES = frozenset({"pickle", "dill", "cloudpickle"})
"""Serializers that run code of whoever wrote the bytes, and exist in protocol 48 only."""

PICKLE_IDS = frozenset({PICKLE_ID, DILL_ID, CLOUDPICKLE_ID})


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
        self.expand = to_state
        # The codec's own methods: no frame between.
        self.dumps: Callable[[Any], bytes] = self.codec.encode
        self.loads: Callable[..., Any] = self.codec.decode
        self.dumps_parts: Callable[[Any], Any] = self.codec.encode_parts
        self.dumps_call: Callable[..., Any] = self.codec.encode_call
        self.loads_call: Callable[..., tuple[str, str, tuple[Any, ...], dict[str, Any]]] = self.codec.decode_call


class PeerSerializer:
    """A serializer of the peers, with the face of the native one.

    Arguments: ``name``; ``codec``, which does it; ``dicts``, what finishes the values that the codec reads (None: nothing).
    """

    def __init__(self, name: str, codec: Any, dicts: ClassDicts | None = None) -> None:
        self.name = name
        self.serializer_id = IDS[name]
        self.codec = codec
        self.dumps: Callable[[Any], bytes] = codec.encode
        self.dumps_parts: Callable[[Any], Any] = codec.encode
        self.dumps_call: Callable[..., Any] = codec.encode_call
        self.expand = None if dicts is None else lambda value: (None, dicts.simplify(value))
        self._dicts: Any = _Finished if dicts is None else dicts

    def loads(self, data: Any, buffers: list[Any] | None = None) -> Any:
        """Return the value that the bytes hold. Raises SerializeError, and what a converter of the user's raises."""
        before = self._dicts.last_unbuilt
        return self._dicts.finish(self.codec.decode(data), before)

    def loads_call(
        self, data: Any, buffers: list[Any] | None = None
    ) -> tuple[str, str, tuple[Any, ...], dict[str, Any]]:
        """Return ``(object id, method, args, kwargs)``. Raises as ``loads``."""
        before = self._dicts.last_unbuilt
        object_id, method, args, kwargs = self.codec.decode_call(data)
        args, kwargs = self._dicts.finish((args, kwargs), before)
        return object_id, method, tuple(args), kwargs or {}

    def loads_call_as_written(self, data: Any) -> tuple[str, str, Any, dict[str, Any]]:
        """Return and raise as ``loads_call``, with the arguments in a list if that is what was written."""
        before = self._dicts.last_unbuilt
        object_id, method, args, kwargs = self.codec.decode_call(data)
        args, kwargs = self._dicts.finish((args, kwargs), before)
        return object_id, method, args, kwargs or {}


class _Finished:
    """What finishes the values of a format that has no class dicts: nothing."""

    last_unbuilt = 0

    @staticmethod
    def finish(value: Any, before: int) -> Any:
        return value


Serializer = NativeSerializer | PeerSerializer

native = NativeSerializer()
_made: dict[tuple[str, int], Serializer] = {
    ("native", PROTOCOL_VERSION): native,
    ("native", OLD_PROTOCOL_VERSION): native,
}


def get_serializer(name: str, dialect: int = PROTOCOL_VERSION) -> Serializer:
    """Return the serializer of that name, for peers of that protocol version. Raises SerializeError for an unknown one."""
    made = _made.get((name, dialect))
    if made is None:
        check_name(name)
        made = _made[name, dialect] = _make(name, dialect)
    return made


def _bytes_repr_changed() -> None:
    for (name, _), made in list(_made.items()):
        if name == "serpent":
            codec: Any = made.codec
            codec.bytes_literal = config.SERPENT_BYTES_REPR


on_change("SERPENT_BYTES_REPR", _bytes_repr_changed)


def check_name(name: str) -> None:
    """Raise SerializeError for a name that is no serializer's."""
    if name not in IDS:
        raise SerializeError(f"serializer '{name}' is unknown or not available; there are: {', '.join(IDS)}")


def safe_name(name: Any) -> str | None:
    """Return a name that somebody else chose, if it is that of a serializer that never runs code; otherwise None."""
    return name if type(name) is str and name in IDS and name not in PICKLES else None


def get_serializer_by_id(serializer_id: int, dialect: int = PROTOCOL_VERSION) -> Serializer:
    """Return the serializer of the id that a message carries. Raises SerializeError for an unknown one."""
    name = NAMES.get(serializer_id)
    if name is None:
        raise SerializeError(f"serializer with id {serializer_id} is unknown or not available")
    return get_serializer(name, dialect)


def accepted_ids(names: Iterable[str]) -> frozenset[int]:
    """Return the ids of serializers by their names. Raises SerializeError for an unknown one."""
    result = set()
    for name in names:
        check_name(name)
        result.add(IDS[name])
    return frozenset(result)


def _make(name: str, dialect: int) -> Serializer:
    if name in PICKLES:
        from fastpyro.serializers.pickles import PickleCodec

        return PeerSerializer(name, PickleCodec(name))
    from fastpyro.serializers.peer_rules import RULES
    from fastpyro.values.peer_dicts import PYRO4, PYRO5, ClassDicts

    dicts = ClassDicts(PYRO4 if dialect == OLD_PROTOCOL_VERSION else PYRO5, RULES[name])
    if name == "serpent":
        from fastpyro.serializers._serpent import SerpentCodec

        codec: Any = SerpentCodec(dicts.simplify, dicts.restore)
        codec.bytes_literal = config.SERPENT_BYTES_REPR
    elif name == "json":
        from fastpyro.serializers.json_codec import JsonCodec

        codec = JsonCodec(dicts.simplify, dicts.restore)
    elif name == "msgpack":
        from fastpyro.serializers._msgpack import MsgpackCodec

        codec = MsgpackCodec(dicts.simplify, dicts.restore)
    else:
        from fastpyro.serializers._marshal import MarshalCodec

        codec = MarshalCodec(dicts.simplify, dicts.restore)
    return PeerSerializer(name, codec, dicts)
