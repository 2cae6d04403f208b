"""What programs of Pyro use of the package serpent, where that is not installed."""

from __future__ import annotations

import base64
from typing import Any

from fastpyro.serializers.registry import get_serializer

__all__ = ["dumps", "loads", "tobytes"]


def dumps(obj: Any, **options: Any) -> bytes:
    """Return a value in serpent's format."""
    return get_serializer("serpent").dumps(obj)


def loads(serialized_bytes: Any) -> Any:
    """Return the value that bytes in serpent's format hold."""
    return get_serializer("serpent").loads(serialized_bytes)


def tobytes(obj: Any) -> Any:
    """Return the bytes for which serpent wrote a dict; bytes as they are. Raises TypeError for anything else."""
    if isinstance(obj, bytes | bytearray | memoryview):
        return obj
    if isinstance(obj, dict) and "data" in obj and obj.get("encoding") == "base64":
        return base64.b64decode(obj["data"])
    raise TypeError(f"expected bytes, or the dict that serpent makes of them, not {type(obj).__name__}")
