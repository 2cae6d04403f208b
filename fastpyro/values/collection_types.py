"""How the collections of the standard library travel, and the addresses of `ipaddress`: exactly.

Rule 1: every builder checks its state before it makes anything of it, because anybody may have written it.
Rule 2: what is made here runs nothing of anybody's: the factory of a defaultdict is one of a fixed list.
What they take is charged by the decoder, which has their names.
"""

from __future__ import annotations

from functools import cache

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.errors import SerializeError
from fastpyro.values._keys import know_pure_key
from fastpyro.values.checked import reason_of, refused, tuple_of, wrong
from fastpyro.values.class_registry import StateOf, register_builtin, register_decoder, register_later
from fastpyro.values.raw_content import RAW

if TYPE_CHECKING:
    from typing import Any

__all__ = ["USER_TYPES", "ordered_items", "user_content"]

LONGEST_ADDRESS = 200
"""Characters; a scope of an IPv6 address is a name of an interface, of the sender's choice."""

FACTORIES: dict[str, type] = {
    kind.__name__: kind
    for kind in (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)
}
"""By name: what a defaultdict that arrives may make by itself."""

_FACTORY_NAMES: Any = {None: None, **{kind: name for name, kind in FACTORIES.items()}}
_raw_dict = RAW[dict]


def _dict(class_name: str, state: Any) -> dict[Any, Any]:
    if type(state) is not dict:
        raise wrong(state, f"the state of {class_name}", "a dict")
    return state


def _range(name: str, state: Any) -> range:
    parts = tuple_of(state, "the state of a range", 3)
    if [*map(type, parts)] != [int, int, int] or parts[2] == 0:
        raise refused(name, "it has three ints, the last of which is not 0")
    return range(*parts)


@cache
def _collections() -> tuple[Any, Any, Any, Any]:
    from collections import Counter, OrderedDict, defaultdict, deque

    return deque, OrderedDict, defaultdict, Counter


def _deque_state(value: Any) -> tuple[list[Any], int | None]:
    deque = _collections()[0]
    return list(deque.__iter__(value)), vars(deque)["maxlen"].__get__(value)


def _deque(name: str, state: Any) -> Any:
    items, most = tuple_of(state, "the state of a deque", 2)
    if type(items) is not list:
        raise wrong(items, "what a deque holds", "a list")
    if most is not None and (type(most) is not int or not len(items) <= most < 1 << 63):
        raise refused(name, "its limit is an int, not less than its items, or None")
    return _collections()[0](items, most)


def ordered_items(value: Any) -> dict[Any, Any]:
    """Return what an OrderedDict holds as a dict."""
    ordered = _collections()[1]
    return {key: dict.__getitem__(value, key) for key in ordered.__iter__(value)}  # whose order is another than dict's


def _ordered_dict(name: str, state: Any) -> Any:
    return _collections()[1](_dict(name, state))


def _default_dict_state(value: Any) -> Any:
    factory = vars(_collections()[2])["default_factory"].__get__(value)
    name = _FACTORY_NAMES.get(factory, "") if factory is None or type(factory) is type else ""
    if name == "":  # a function of the user's cannot travel
        return _raw_dict(value)
    return StateOf("defaultdict", (name, _raw_dict(value)))


def _default_dict(name: str, state: Any) -> Any:
    factory, items = tuple_of(state, "the state of a defaultdict", 2)
    if factory is not None and (type(factory) is not str or factory not in FACTORIES):
        raise refused(name, f"its factory is None or one of {', '.join(FACTORIES)}")
    return _collections()[2](None if factory is None else FACTORIES[factory], _dict(name, items))


def _counter(name: str, state: Any) -> Any:
    cls = _collections()[3]
    value = dict.__new__(cls)
    dict.update(value, _dict(name, state))
    return value


USER_TYPES: dict[str, type] = {"UserDict": dict, "UserList": list, "UserString": str}
"""By name: what each of these holds."""


def user_content(value: Any) -> Any:
    """Return what a UserDict, UserList or UserString holds, as the builtin type. Raises SerializeError for another."""
    content = object.__getattribute__(value, "__dict__").get("data")
    for base in type(content).__mro__:
        if base in USER_TYPES.values():
            return content if type(content) is base else RAW[base](content)
    raise SerializeError(f"a {type(value).__name__} holds no dict, list or str")


def _user_type(name: str, state: Any) -> Any:
    import collections

    if type(state) is not USER_TYPES[name]:
        raise wrong(state, f"what a {name} holds", f"a {USER_TYPES[name].__name__}")
    cls: Any = getattr(collections, name)
    value = object.__new__(cls)
    value.__dict__["data"] = state
    return value


def _address(name: str, state: Any) -> Any:
    quick = type(state) is tuple and len(state) == 2
    kind, text = state if quick else tuple_of(state, "the state of an ip address", 2)
    if type(kind) is not str or type(text) is not str or len(text) > LONGEST_ADDRESS:
        raise refused(name, "expected a kind and a text")
    from fastpyro.values.ip_addresses import MAKERS

    make = MAKERS.get(kind)
    if make is None:
        raise refused(name, "there is no such kind of address")
    try:
        return make(text)
    except ValueError as error:
        raise refused(name, reason_of(error)) from None


def _address_state(kind: str) -> Any:
    def state_of(value: Any) -> Any:
        from fastpyro.values.ip_addresses import CLASSES

        return kind, CLASSES[kind].__str__(value)

    return state_of


def _register_all() -> None:
    know_pure_key(range)
    register_builtin(range, "range", lambda value: (value.start, value.stop, value.step), _range)
    register_later("collections.deque", "deque", _deque_state)
    register_later("collections.OrderedDict", "OrderedDict", ordered_items)
    register_later("collections.Counter", "Counter", _raw_dict)
    register_later("collections.defaultdict", None, _default_dict_state)
    for name, builder in (
        ("deque", _deque),
        ("OrderedDict", _ordered_dict),
        ("defaultdict", _default_dict),
        ("Counter", _counter),
        ("ipaddress", _address),
    ):
        register_decoder(name, builder)
    for name in USER_TYPES:
        register_later(f"collections.{name}", name, user_content)
        register_decoder(name, _user_type)
    for version in (4, 6):
        for kind in ("Interface", "Network", "Address"):  # an interface is an address, too
            register_later(f"ipaddress.IPv{version}{kind}", "ipaddress", _address_state(f"IPv{version}{kind}"))


_register_all()
