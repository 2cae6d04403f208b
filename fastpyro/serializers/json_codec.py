"""JSON, which a module of the standard library reads and writes.

The face is that of the native codecs: ``encode``, ``decode``, ``encode_call``, ``decode_call``.
Rule 1: bad bytes give a SerializeError and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.errors import PyroError, SerializeError
from fastpyro.serializers._json_scan import check_json
from fastpyro.values._memory_budget import charge_late
from fastpyro.values.checked import cut, mapping_of, reason_of, text_of, tuple_of, wrong

if TYPE_CHECKING:
    from typing import Any

__all__ = ["JsonCodec", "checked_call"]

MAX_DEPTH = 200
"""Levels of containers and objects, as in serpent."""

_SCALARS = frozenset({str, int, float, bool, type(None)})
_SEQUENCES = frozenset({list, tuple, set})

if TYPE_CHECKING:
    Call = tuple[str, str, Any, Any]


WAY_OUT = "Send a list of pairs, or use a serializer that has a form for it"
"""What to do about the keys of a dict, which are nearly all that json refuses."""


class JsonCodec:
    """JSON text in UTF-8. Arguments: ``simplify`` and ``restore``, as the native codecs have them."""

    def __init__(self, simplify: Callable[[Any], Any], restore: Callable[[str, dict[str, Any]], Any]) -> None:
        self._simplify = simplify
        self._restore = restore
        self._encoder = json.JSONEncoder(check_circular=False)  # `_ready` bounds the depth
        self._decoder = json.JSONDecoder(object_hook=self._hook)

    def encode(self, value: Any) -> bytes:
        """Return the value as bytes. Raises SerializeError for what JSON has no form for."""
        try:
            return self._encoder.encode(self._ready(value, 0)).encode("utf-8")
        except PyroError:
            raise
        except (TypeError, ValueError, RuntimeError) as error:  # also of a dict that changes meanwhile
            raise SerializeError(f"cannot be written as JSON: {error}. {WAY_OUT}") from error

    def encode_call(self, object_id: str, method: str, args: Any, kwargs: dict[str, Any] | None) -> bytes:
        """Return a call as bytes."""
        return self.encode({"object": object_id, "method": method, "params": args, "kwargs": kwargs})

    def decode(self, data: Any, buffers: list[Any] | None = None) -> Any:
        """Return the value that the bytes hold; ``buffers`` is the native codec's. Raises SerializeError."""
        check_json(data)
        try:
            return self._decoder.decode(bytes(data).decode("utf-8"))
        except PyroError:
            raise
        except (ValueError, RecursionError) as error:  # also of numbers with too many digits
            raise SerializeError(f"this is no JSON: {error}") from None

    def decode_call(self, data: Any) -> Call:
        """Return ``(object id, method, args, kwargs)``. Raises SerializeError."""
        call = mapping_of(self.decode(data), "a call in JSON")
        try:
            parts = call["object"], call["method"], call["params"], call["kwargs"]
        except KeyError:
            raise SerializeError("a call in JSON has object, method, params and kwargs") from None
        return checked_call(parts)

    def _ready(self, value: Any, depth: int) -> Any:
        """Return what JSON has a form for. The encoder would recurse as deep as the value is."""
        kind = type(value)
        if kind in _SCALARS:
            return value
        if depth >= MAX_DEPTH:
            raise SerializeError(f"a value is nested deeper than {MAX_DEPTH} levels, or contains itself")
        if kind is dict:
            return {key: self._ready(item, depth + 1) for key, item in value.items()}
        if kind in _SEQUENCES:
            return [self._ready(item, depth + 1) for item in value]
        return self._ready(self._simplify(value), depth + 1)

    def _hook(self, data: dict[str, Any]) -> Any:
        class_name = data.get("__class__")
        if type(class_name) is not str:
            return data
        try:
            value = self._restore(class_name, data)
        except PyroError:
            raise
        except Exception as error:
            raise SerializeError(f"cannot build an object of class {cut(class_name)}: {reason_of(error)}") from error
        charge_late()
        return value


def checked_call(call: Any) -> Call:
    """Return a call whose parts have the right types. Raises SerializeError."""
    object_id, method, args, kwargs = tuple_of(call, "a call", 4)
    if kwargs is not None:
        mapping_of(kwargs, "the keyword arguments of a call")
    if type(args) is not list and type(args) is not tuple:
        raise wrong(args, "the arguments of a call", "a list or tuple")
    return text_of(object_id, "the object id of a call"), text_of(method, "the method of a call"), args, kwargs
