"""What Pyro's serializers make of an object: a dict with a "__class__", and what such a dict becomes here.

Each dialect has its own names for Pyro's own classes (`PYRO5`, `PYRO4`): they are written as the peer knows them, and read
in either spelling. Users' classes are those of `class_registry`; values of the standard library become the plain
values that the peers make of them (`PLAIN`), which is where exactness ends: a peer gets a text for a Decimal.
Rule 1: nothing is imported, and no class is looked up anywhere else, because a message names it.
Rule 2: every state is checked before anything is made of it, because anybody may have written it.
"""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType

from fastpyro import errors
from fastpyro._light_typing import TYPE_CHECKING, NamedTuple
from fastpyro.errors import PyroError, SecurityError, SerializeError
from fastpyro.uri import URI
from fastpyro.values import class_registry
from fastpyro.values._tables import check_keys
from fastpyro.values._unbuilt import Unbuilt, build_all
from fastpyro.values.checked import (
    cut,
    is_kind,
    list_of,
    mapping_of,
    reason_of,
    text_of,
    texts_of,
    tuple_of,
    wrong,
)
from fastpyro.values.class_registry import StateOf
from fastpyro.values.collection_types import USER_TYPES, ordered_items, user_content
from fastpyro.values.exceptions import dict_to_exception, exception_to_dict, state_to_dict
from fastpyro.values.object_state import attributes_of, defines, full_name, is_plain, state_function, takes_attributes
from fastpyro.values.raw_content import RAW, range_of_items

if TYPE_CHECKING:
    from typing import Any

__all__ = ["PYRO4", "PYRO5", "ClassDicts", "FailedCall", "FormatRules", "PeerDaemon", "PeerNames"]


class PeerNames(NamedTuple):
    """What the classes of Pyro itself are called by a peer."""

    package: str
    uri: str
    proxy: str
    daemon: str
    failed_call: str


PYRO5 = PeerNames(
    "Pyro5", "Pyro5.core.URI", "Pyro5.client.Proxy", "Pyro5.server.Daemon", "Pyro5.core._ExceptionWrapper"
)
PYRO4 = PeerNames("Pyro4", "Pyro4.core.URI", "Pyro4.core.Proxy", "Pyro4.core.Daemon", "Pyro4.futures._ExceptionWrapper")


class FailedCall:
    """Stands in the results of a batch for the call that ended it. Arguments: ``exception``."""

    def __init__(self, exception: BaseException) -> None:
        self.exception = exception

    def __repr__(self) -> str:
        return f"<what Pyro calls _ExceptionWrapper, of {self.exception!r}>"


class PeerDaemon:
    """What arrives for a peer's Daemon object: nothing that can be used."""

    def __repr__(self) -> str:
        return "<a daemon of another process; unusable>"


_KNOWN_ERRORS = frozenset(
    {
        "PyroError",
        "CommunicationError",
        "ConnectionClosedError",
        "TimeoutError",
        "ProtocolError",
        "MessageTooLargeError",
    }
    | {"SerializeError", "NamingError", "DaemonError", "SecurityError"}
)
"""Names of the errors that both peers have."""

_OWN_ERRORS = f"{errors.__name__}."


def _text(value: Any) -> str:
    return str(value)


def _isoformat(value: Any) -> str:
    return value.isoformat()  # type: ignore[no-any-return]


def _array(value: Any) -> Any:
    return value.tounicode() if value.typecode in "uw" else value.tolist()


def _plain_numpy(value: Any, plain: Callable[[], Any]) -> Any:
    """Return numbers, texts and lists for an array or scalar of NumPy. Raises SerializeError where there are none."""
    dtype = value.dtype
    if dtype.char in "gG":
        raise SerializeError(
            f"cannot serialize NumPy data of dtype {dtype}: there is no number of that size elsewhere. Convert it to "
            "float64 or complex128 (value.astype)"
        )
    unit = dtype.str.partition("[")[2].rstrip("]").lstrip("0123456789") if dtype.char in "mM" else ""
    if unit in ("ns", "ps", "fs", "as") or (unit in ("Y", "M") and dtype.char == "m"):
        if dtype.char == "M":  # what Python's datetime would cut off
            return value.astype(str).tolist()
        if unit in ("Y", "M"):
            raise SerializeError(
                f"cannot serialize NumPy data of dtype {dtype}: months and years are no length of time. Convert it to a "
                "number, or to another unit"
            )
        return (value / dtype.type(1, "s")).tolist()
    return plain()


PLAIN: dict[str, Callable[[Any], Any]] = {
    "datetime.datetime": _isoformat,
    "datetime.date": _isoformat,
    "datetime.time": _isoformat,
    "datetime.timedelta": lambda value: value.total_seconds(),
    "decimal.Decimal": _text,
    "fractions.Fraction": _text,
    "uuid.UUID": _text,
    "pathlib.PurePath": _text,
    "pathlib._local.PurePath": _text,
    "collections.deque": list,
    "collections.OrderedDict": ordered_items,
    "ipaddress._IPAddressBase": _text,
    **{f"collections.{name}": user_content for name in USER_TYPES},
    "builtins.dict_keys": list,
    "builtins.dict_values": list,
    "builtins.dict_items": list,
    "builtins.range": range_of_items,
    "builtins.mappingproxy": dict,
    "array.array": _array,
    "numpy.ndarray": lambda value: _plain_numpy(value, value.tolist),
    "numpy.generic": lambda value: _plain_numpy(value, value.item),
    **{full_name(cls): raw for cls, raw in RAW.items() if cls.__module__ == "builtins"},
}
"""By full name of the type: what its objects, and those of its subclasses, become."""


class FormatRules(NamedTuple):
    """What the serializers of Pyro for one format do with objects, before and while they make dicts of them."""

    refused: frozenset[type] = frozenset()
    """Types that the format has no form for."""
    plain: Mapping[str, Callable[[Any], Any]] = MappingProxyType({})
    """Replacements that come before those of ``PLAIN``."""
    bare_states: bool = False
    """Whether a ``__getstate__`` that gives no dict says what is written instead of the object."""
    bare_dicts: bool = False
    """Whether one that gives a dict does: without the name of a class."""
    inner_first: bool = False
    """Whether a converter gets objects for the dicts inside its own whose class is known."""
    unasked: frozenset[str] = frozenset()
    """Full names of classes that have a form in the format before a converter is looked for; so have their subclasses."""
    unasked_themselves: frozenset[str] = frozenset()
    """The same, without their subclasses."""


_NO_RULES = FormatRules()


_tokens = itertools.count(1)


class ClassDicts:
    """Objects to class dicts and back, in the names of one peer. Arguments: ``names``; ``rules``, those of the format.

    Attribute: ``last_unbuilt``, another number after each object that ``restore`` left to ``finish``, whatever the thread.
    """

    last_unbuilt = 0

    def __init__(self, names: PeerNames, rules: FormatRules = _NO_RULES) -> None:
        self.names = names
        self._rules = rules
        self._keeps = self._knows if rules.inner_first else None
        self._plain = {**PLAIN, **rules.plain}
        self._writers = class_registry.new_cache()
        self._own = {"fastpyro.URI": self._uri_dict, "fastpyro.Proxy": self._proxy_dict, "exception": self._error_dict}

    def simplify(self, value: Any) -> Any:
        """Return what is written for an object that the format does not know. Raises SerializeError."""
        writer = self._writers.get(type(value))
        if writer is None:
            writer = self._find_writer(type(value))
        class_name, state = writer(value)
        if class_name is None:
            return state
        own = self._own.get(class_name)
        if own is not None:
            return own(state)
        kind: Any = type(value)
        if type(state) is dict and (list(state) != ["state"] or takes_attributes(kind)):
            return {"__class__": class_name, **state}
        return {"__class__": class_name, "state": state}

    def restore(self, class_name: str, data: dict[str, Any]) -> Any:
        """Return what a reader puts in the place of a class dict: its object, or something that ``finish`` replaces."""
        if not class_registry.has_converters():
            return self.build(class_name, data)
        self.last_unbuilt = next(_tokens)
        return Unbuilt(class_name, data)

    def finish(self, value: Any, before: int) -> Any:
        """Return a value that was read, with all of its objects. An error of a user's converter is raised as it is.

        Argument: ``before``, what ``last_unbuilt`` was before: it is another one if any object of this value waits.
        """
        if self.last_unbuilt == before:
            return value
        return build_all(value, self.build, _takes_raw, self._keeps)

    def _knows(self, class_name: str, data: dict[str, Any]) -> bool:
        return class_name in _RESTORED or class_registry.is_known(class_name) or data.get("__exception__") is True

    def build(self, class_name: str, data: dict[str, Any]) -> Any:
        """Return the object that a class dict stands for. Raises SerializeError, or SecurityError for odd names."""
        converter = class_registry.find_converter(class_name)
        if converter is not None:
            return class_registry.converted(converter, class_name, data)
        mapping_of(data, "the dict of an object")
        known = _RESTORED.get(class_name)
        if known is not None:
            return known(data)
        if data.get("__exception__") is True:  # of a class in a script, too: without the class it is a RemoteError
            return dict_to_exception(_own_error_name(class_name), data)
        if "__" in class_name and not class_registry.is_known(class_name):
            raise SecurityError(
                f"refused to deserialize types with double underscores in their name: {cut(class_name)}. Register it on "
                "both sides with fastpyro.register_class (give name= if it is defined in a script, whose module is called "
                "__main__), or here with register_dict_to_class"
            )
        state = {name: item for name, item in data.items() if name != "__class__"}
        if list(state) == ["state"] and not class_registry.has_attributes(class_name):
            return class_registry.build(class_name, state["state"])
        return class_registry.build(class_name, state)

    def _find_writer(self, cls: type) -> Callable[[Any], tuple[str | None, Any]]:
        writer = class_registry.with_replacements(cls, self._ordinary_writer(cls))
        self._writers[cls] = writer
        return writer

    def _ordinary_writer(self, cls: type) -> Callable[[Any], tuple[str | None, Any]]:
        rules = self._rules
        unasked = full_name(cls) in rules.unasked_themselves or not rules.unasked.isdisjoint(
            map(full_name, cls.__mro__)
        )
        chosen = class_registry.chosen_writer(cls, unasked)
        if chosen is not None:
            return chosen
        if cls is StateOf:
            return lambda value: tuple(value)
        if cls is FailedCall:
            return self._failed_call
        if issubclass(cls, BaseException):
            return lambda error: (None, self._renamed(exception_to_dict(error)))
        if issubclass(cls, Enum):
            return lambda member: (None, member.value)
        if not issubclass(cls, tuple(rules.refused)):
            for base in cls.__mro__:
                plain = self._plain.get(full_name(base))
                if plain is not None:
                    return lambda value: (None, plain(value))
                if full_name(base) in _NATIVE_NAMES:
                    return class_registry.to_state
                if full_name(base) == "fastpyro.Daemon":
                    return lambda _: (None, {"__class__": self.names.daemon, "state": ()})
            if class_registry.is_of_pandas(cls):
                return _refuse
            if is_plain(cls):
                return self._state_writer(cls)
            if cls.__flags__ & (1 << 9) and cls.__dictoffset__:
                return lambda value: (full_name(cls), attributes_of(value))
        return _refuse

    def _state_writer(self, cls: type) -> Callable[[Any], tuple[str | None, Any]]:
        take, class_name, rules = state_function(cls), full_name(cls), self._rules
        bare_dicts = rules.bare_dicts and defines(cls, "__getstate__")

        def write(value: Any) -> tuple[str | None, Any]:
            state = take(value)
            bare = bare_dicts if type(state) is dict else rules.bare_states
            return (None, state) if bare else class_registry.named(class_name, state)

        return write

    def _uri_dict(self, state: Any) -> dict[str, Any]:
        return {"__class__": self.names.uri, "state": state}

    def _proxy_dict(self, state: Any) -> dict[str, Any]:
        uri, oneway, methods, attributes, handshake, serializer = state
        names = set(oneway), set(methods), set(attributes)
        if serializer == "native":
            serializer = None
        if self.names is PYRO5:
            return {"__class__": self.names.proxy, "state": (uri, *names, handshake, serializer)}
        # Timeout and HMAC key stay here: the key would travel in clear text.
        return {"__class__": self.names.proxy, "state": (uri, *names, 0.0, None, handshake, 0, serializer)}

    def _error_dict(self, state: Any) -> dict[str, Any]:
        return self._renamed(state_to_dict(state))

    def _renamed(self, data: dict[str, Any]) -> dict[str, Any]:
        class_name = data["__class__"]
        if class_name.startswith(_OWN_ERRORS):
            cls = getattr(errors, class_name.removeprefix(_OWN_ERRORS), PyroError)
            known = next((base.__name__ for base in cls.__mro__ if base.__name__ in _KNOWN_ERRORS), "PyroError")
            data["__class__"] = f"{self.names.package}.errors.{known}"
        return data

    def _failed_call(self, value: FailedCall) -> tuple[str | None, Any]:
        return None, {"__class__": self.names.failed_call, "exception": self.simplify(value.exception)}


def _takes_raw(class_name: str) -> bool:
    return class_registry.find_converter(class_name) is not None


_NATIVE_NAMES = frozenset({"fastpyro.URI", "fastpyro.Proxy"})


def _refuse(value: Any) -> Any:
    reason = "its format has no form for it. Send plain values, or register a converter with register_class_to_dict"
    if hasattr(type(value), "__next__"):
        reason = class_registry.WHY_NO_ITERATOR
    raise SerializeError(f"cannot serialize an object of type {full_name(type(value))} for this peer: {reason}")


def _own_error_name(class_name: str) -> str:
    package, _, name = class_name.rpartition(".")
    if package in ("Pyro5.errors", "Pyro4.errors"):
        return _OWN_ERRORS + name
    if package in ("exceptions", "__builtin__") or (not package and hasattr(builtins, name)):
        return f"builtins.{name}"
    return class_name


def _state(data: dict[str, Any], *lengths: int) -> tuple[Any, ...]:
    return tuple_of(data.get("state"), "the state of an object of Pyro's own", *lengths)


def _uri(data: dict[str, Any]) -> Any:
    protocol, name, *location = _state(data, 5)
    if type(name) is not str:  # the tags of a PYROMETA uri
        name = set(texts_of(name, "the tags of a uri"))
    return class_registry.build("fastpyro.URI", (protocol, name, *location))


def _proxy(data: dict[str, Any]) -> Any:
    state = _state(data, 6, 7, 8, 9)
    if len(state) == 6:
        uri, oneway, methods, attributes, handshake, serializer = state
    else:
        # Pyro4 sends the key of its daemon, and of whoever wrote this: it proves nothing here, and is left where it is.
        uri, oneway, methods, attributes, _timeout, _key, handshake, *rest = state
        serializer = rest[1] if len(rest) == 2 else None
    if type(uri) is URI:
        uri = str(uri)
    return class_registry.build("fastpyro.Proxy", (uri, oneway, methods, attributes, handshake, serializer))


def _daemon(data: dict[str, Any]) -> Any:
    # A facade has a class of its own for it.
    known = class_registry.is_known("fastpyro.Daemon")
    return class_registry.build("fastpyro.Daemon", ()) if known else PeerDaemon()


def _failed_call(data: dict[str, Any]) -> FailedCall:
    error = data.get("exception")
    if error is None or not is_kind(error, BaseException):
        raise wrong(error, "what failed in a batch", "an exception")
    return FailedCall(error)


def _ordered_dict(data: dict[str, Any]) -> Any:
    from collections import OrderedDict

    pairs = [tuple_of(pair, "an item of an OrderedDict", 2) for pair in list_of(data.get("items"), "its items")]
    check_keys([key for key, _ in pairs])
    try:
        return OrderedDict(pairs)
    except Exception as error:
        raise SerializeError(f"a key of an OrderedDict cannot be used as one: {reason_of(error)}") from None


def _float(data: dict[str, Any]) -> float:
    if text_of(data.get("value"), "a float in a dict") not in ("nan", "inf", "-inf"):
        raise SerializeError("a float in a dict is nan, inf or -inf")
    return float(data["value"])


_RESTORED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "float": _float,
    "fastpyro.URI": _uri,
    "fastpyro.Proxy": _proxy,
}
for _peer in (PYRO5, PYRO4):
    _RESTORED[_peer.uri] = _uri
    _RESTORED[_peer.proxy] = _proxy
    _RESTORED[_peer.daemon] = _daemon
    _RESTORED[_peer.failed_call] = _failed_call
