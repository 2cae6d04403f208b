"""The pickles: for Pyro4 programs that insist on them, with a peer that has shown who it is. A pickle is a program that its
reader runs, which is why `serializers` and `handshake` hand it to nobody who has not asked for it.

Classes of fastpyro are written as those of Pyro4 that they stand for, and read as such (`PYRO4_CLASSES`): as "import this,
get that", because the module need not be there where it is written.
"""

from __future__ import annotations

import copyreg
import importlib
import io
import operator
import pickle
import threading

from fastpyro import errors
from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.config import config
from fastpyro.errors import PyroError, SerializeError
from fastpyro.serializers.json_codec import checked_call
from fastpyro.uri import URI
from fastpyro.values import class_registry
from fastpyro.values.class_registry import StateOf
from fastpyro.values.object_state import full_name
from fastpyro.values.peer_dicts import FailedCall

if TYPE_CHECKING:
    from typing import Any

__all__ = ["PickleCodec", "is_reading"]

PROXY = "fastpyro.Proxy"

PYRO4_CLASSES = {
    "fastpyro.URI": ("Pyro4.core", "URI"),
    PROXY: ("Pyro4.core", "Proxy"),
    "fastpyro.values.peer_dicts.FailedCall": ("Pyro4.futures", "_ExceptionWrapper"),
}

_EXAMPLES: dict[str, Any] = {
    "fastpyro.URI": ("PYRO", "x", None, "x", 1),
    PROXY: ("PYRO:x@x:1", (), (), (), "", None),
}
"""States that make an object of a class, to see which one it is."""

_OWN_ERRORS = "fastpyro.errors."

BUILT_IN = frozenset({type(None), bool, int, float, str, bytes, bytearray, tuple, list, dict, set, frozenset})
"""Types whose objects are written as they are, whatever is registered: not every pickler asks about them."""


class PickleCodec:
    """Pickles. Argument: ``module_name``, pickle, dill or cloudpickle.

    Raises SerializeError when the module is not installed.
    """

    def __init__(self, module_name: str) -> None:
        try:
            self._module = importlib.import_module(module_name)
        except ImportError as error:
            raise SerializeError(f"serializer '{module_name}' is not available: {error}") from error
        self._pickler = _pickler_of(self._module.Pickler)
        self._unpickler = _unpickler_of(getattr(self._module, "Unpickler", pickle.Unpickler))

    def encode(self, value: Any) -> bytes:
        """Return the value as bytes. Raises SerializeError for what cannot be pickled."""
        out = io.BytesIO()
        try:
            self._pickler(out, config.PICKLE_PROTOCOL_VERSION).dump(_plain(value))
        except PyroError:
            raise
        except Exception as error:
            raise SerializeError(f"cannot be pickled: {error}. Send plain values") from error
        return out.getvalue()

    def encode_call(self, object_id: str, method: str, args: Any, kwargs: dict[str, Any] | None) -> bytes:
        """Return a call as bytes."""
        return self.encode((object_id, method, args, kwargs))

    def decode(self, data: Any, buffers: list[Any] | None = None) -> Any:
        """Return the value that the bytes hold; running them as a program is what a pickle is."""
        outer = is_reading()
        _thread.is_reading = True
        try:
            return self._unpickler(io.BytesIO(data)).load()
        except Exception as error:
            raise SerializeError(f"this is no pickle: {error}") from error
        finally:
            _thread.is_reading = outer

    def decode_call(self, data: Any) -> tuple[str, str, Any, Any]:
        """Return ``(object id, method, args, kwargs)``. Raises SerializeError."""
        return checked_call(self.decode(data))


_thread = threading.local()


def is_reading() -> bool:
    """Return whether this thread unpickles what a peer has sent, and not what the program itself has kept."""
    return getattr(_thread, "is_reading", False)


def _plain(value: Any, around: frozenset[int] = frozenset()) -> Any:
    """Return a value without the states that stand in for objects on their way to another codec; itself if it has none.

    Argument: ``around``, the lists that it stands in, by identity: one may contain itself.
    """
    if type(value) is StateOf:
        return class_registry.build(value.class_name, value.state)
    if type(value) is FailedCall:
        return FailedCall(_plain(value.exception))
    if type(value) is not list or id(value) in around:
        return value
    around |= {id(value)}
    made = [_plain(item, around) for item in value]
    return value if all(map(operator.is_, made, value)) else made


class _Module:
    """A module of the reader's. Arguments: ``name``."""

    def __init__(self, name: str) -> None:
        self.name = name


def _pickler_of(base: Any) -> Any:
    """Return a pickler like that of a module, which writes fastpyro's classes as Pyro4's."""

    class Pickler(base):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            reduced = _reduced(obj)
            if reduced is NotImplemented and hasattr(base, "reducer_override"):
                return super().reducer_override(obj)
            return reduced

    return Pickler


def _reduced(obj: Any) -> Any:
    """Return how an object that has to do with fastpyro is pickled, NotImplemented for the others."""
    if type(obj) is _Module:
        return importlib.import_module, (obj.name,)
    if isinstance(obj, type):
        place = _place_of(obj)
        return NotImplemented if place is None else (getattr, (_Module(place[0]), place[1]))
    if type(obj) in BUILT_IN:
        return NotImplemented
    replaced = _replaced(obj)
    if replaced is not obj:
        return _reduced_proxy(replaced) if _is_proxy(replaced) else replaced.__reduce_ex__(2)
    return _reduced_proxy(obj) if _is_proxy(obj) else NotImplemented


def _is_proxy(obj: Any) -> bool:
    return any(full_name(base) == PROXY for base in type(obj).__mro__)


def _place_of(cls: type) -> tuple[str, str] | None:
    name = full_name(cls)
    if name.startswith(_OWN_ERRORS):
        known = next((base.__name__ for base in cls.__mro__ if base.__name__ in _PYRO4_ERRORS), "PyroError")
        return "Pyro4.errors", known
    return PYRO4_CLASSES.get(name)


_PYRO4_ERRORS = frozenset(name for name in errors.__all__ if name.endswith("Error")) - {
    "FastPyroError", "LocalProtocolError", "MessageAuthenticationError", "RemoteError", "RemoteProtocolError",
    "ServerOverloadedError",
}  # fmt: skip


def _replaced(obj: Any) -> Any:
    """Return what is sent for an object: a proxy when it is registered with a daemon."""
    class_name, state = class_registry.with_replacements(type(obj), lambda value: (None, value))(obj)
    return state if class_name is None else class_registry.build(class_name, state)


def _reduced_proxy(proxy: Any) -> Any:
    _, own = class_registry.to_state(proxy)  # not its own __getstate__, which may have the key
    uri, oneway, methods, attributes, handshake, serializer = own
    # Timeout and HMAC key stay here: the key would travel in clear text. Pyro4 expects a URI, not its text.
    state = (URI(uri), set(oneway), set(methods), set(attributes), 0.0, None, handshake, 0, serializer)
    cls = type(class_registry.build("fastpyro.Proxy", own))
    # Not copyreg.__newobj__, which pickle allows for an object of that very class only.
    return copyreg._reconstructor, (cls, object, None), state  # type: ignore[attr-defined]


def _reconstructed(cls: Any, base: Any, state: Any) -> Any:
    """Return a new object as ``copyreg`` does it; our proxies, of which `_reduced_proxy` tells, are made by a C class."""
    is_proxy = any(full_name(each) == PROXY for each in cls.__mro__)
    return cls.__new__(cls) if is_proxy else copyreg._reconstructor(cls, base, state)  # type: ignore[attr-defined]


def _unpickler_of(base: Any) -> Any:
    """Return an unpickler like that of a module, which reads Pyro4's classes as fastpyro's."""

    class Unpickler(base):  # type: ignore[misc]
        def find_class(self, module_name: str, global_name: str) -> Any:
            if module_name == "Pyro4.errors":
                return getattr(errors, global_name)
            if global_name == "_reconstructor" and module_name in ("copyreg", "copy_reg"):
                return _reconstructed
            for ours, theirs in PYRO4_CLASSES.items():
                if theirs == (module_name, global_name):
                    if ours in _EXAMPLES:  # of the class that this program has for it: a facade has its own
                        return type(class_registry.build(ours, _EXAMPLES[ours]))
                    module, _, name = ours.rpartition(".")
                    return getattr(importlib.import_module(module), name)
            return super().find_class(module_name, global_name)

    return Unpickler
