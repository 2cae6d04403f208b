"""Serializers under the names of their methods in Pyro."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastpyro.serializers import Serializer, get_serializer

__all__ = ["PeerFace", "SerializerTable"]


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


class SerializerTable(Mapping[str, PeerFace]):
    """Serializers by name, made when they are first asked for. Arguments: ``dialect``, ``names``."""

    def __init__(self, dialect: int, names: tuple[str, ...]) -> None:
        self._dialect = dialect
        self._names = names

    def __getitem__(self, name: str) -> PeerFace:
        if name not in self._names:
            raise KeyError(name)
        return PeerFace(get_serializer(name, self._dialect))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
