"""Addresses, networks and interfaces of `ipaddress` out of their texts, without its constructors where that is the same.

The constructors take a text apart in Python, several times for an interface. The system's `inet_pton` does that here, and
the attributes are set past them. Neither is documented, so what is made is compared with what the constructors
make, once, on texts of all sorts; a class for which it is not the same is left to its constructor. So is each text that
is out of the ordinary, and each that is wrong: then the constructor says why.
"""

from __future__ import annotations

import ipaddress
import socket
from functools import partial

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.values._keys import know_pure_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["CLASSES", "MAKERS"]

CLASSES: dict[str, Any] = {
    f"IPv{version}{kind}": getattr(ipaddress, f"IPv{version}{kind}")
    for version in (4, 6)
    for kind in ("Address", "Network", "Interface")
}
"""By name."""

_SAMPLES = {
    4: ("0.0.0.0", "255.255.255.255", "1.2.3.4", "10.0.0.0/8", "10.1.2.3/8", "1.2.3.4/30", "1.2.3.4/32", "0.0.0.0/0"),
    6: (
        "::",
        "1::",
        "::1",
        "::ffff:1.2.3.4",
        "2001:db8::/64",
        "fe80::1/10",
        "fe80::1%eth0",
        "1::2/126",
        "::/0",
        "::1/127",
    ),
}


def _address_maker(version: int) -> Callable[[str], Any]:
    make = _quick_address(CLASSES[f"IPv{version}Address"], version)

    def build(text: str) -> Any:
        return make(_number_in(text, version))

    return build


def _number_in(text: str, version: int) -> int:
    """Return an address as a number. Raises OSError for a text that is none, ValueError for one with a NUL in it."""
    return int.from_bytes(socket.inet_pton(socket.AF_INET if version == 4 else socket.AF_INET6, text), "big")


def _quick_address(cls: Any, version: int) -> Callable[[int], Any]:
    owner = CLASSES[f"IPv{version}Address"]
    new, set_number = object.__new__, owner._ip.__set__
    set_scope = owner._scope_id.__set__ if version == 6 else None

    def make(number: int) -> Any:
        value = new(cls)
        set_number(value, number)
        if set_scope is not None:
            set_scope(value, None)
        return value

    return make


def _masks_of(version: int) -> dict[str, Any]:
    """Return netmask, length and number of each prefix, but for those of the networks of one and two addresses."""
    cls = CLASSES[f"IPv{version}Network"]
    longest = 32 if version == 4 else 128
    made = {str(length): cls._make_netmask(str(length)) for length in range(longest - 1)}
    return {text: (mask, length, int(mask)) for text, (mask, length) in made.items()}


def _network_maker(version: int, masks: dict[str, Any]) -> Callable[[str], Any]:
    make = _quick_network(version)

    def build(text: str) -> Any:
        address, _, prefix = text.partition("/")
        mask, length, number = masks[prefix]
        start = _number_in(address, version)
        if start & number != start:
            raise ValueError("bits of a host are set")
        return make(start, mask, length)

    return build


def _quick_network(version: int) -> Callable[[int, Any, int], Any]:
    cls, new = CLASSES[f"IPv{version}Network"], object.__new__
    make_address = _quick_address(CLASSES[f"IPv{version}Address"], version)

    def make(start: int, mask: Any, length: int) -> Any:
        value = new(cls)
        own = value.__dict__
        own["network_address"] = make_address(start)
        own["netmask"] = mask
        own["_prefixlen"] = length
        return value

    return make


def _interface_maker(version: int, masks: dict[str, Any]) -> Callable[[str], Any]:
    make = _quick_address(CLASSES[f"IPv{version}Interface"], version)
    make_network = _quick_network(version)

    def build(text: str) -> Any:
        address, _, prefix = text.partition("/")
        mask, length, number = masks[prefix]
        start = _number_in(address, version)
        value = make(start)
        own = value.__dict__
        own["network"] = make_network(start & number, mask, length)
        own["netmask"] = mask
        own["_prefixlen"] = length
        return value

    return build


def _careful(name: str, quick: Callable[[int], Callable[[str], Any]]) -> Callable[[str], Any]:
    """Return what builds objects of a class: as `quick` does where that is the same, else by its constructor."""
    cls, version = CLASSES[name], int(name[3])

    def build(text: str) -> Any:
        try:
            return make(text)
        except (OSError, ValueError, KeyError):
            return cls(text)

    try:
        make = quick(version)
        same = [
            _contents_of(build(text)) == _contents_of(cls(text)) for text in _SAMPLES[version] if _is_text_of(cls, text)
        ]
    except AttributeError:  # it keeps what it has somewhere else
        return cls  # type: ignore[no-any-return]
    return build if all(same) else cls


def _is_text_of(cls: Any, text: str) -> bool:
    try:
        cls(text)
    except ValueError:
        return False
    return True


def _contents_of(value: Any) -> Any:
    """Return all that an object consists of, in its order; bound methods and functions by what they are."""
    own = getattr(value, "__dict__", {})
    attributes = [(name, _content_of(item)) for name, item in own.items()]
    return type(value), getattr(value, "_ip", None), getattr(value, "_scope_id", None), attributes


def _content_of(item: Any) -> Any:
    if type(item) in CLASSES.values():
        return _contents_of(item)
    return getattr(item, "__qualname__", item)


def _makers() -> dict[str, Callable[[str], Any]]:
    made = {}
    for version in (4, 6):
        masks = _masks_of(version)
        made[f"IPv{version}Address"] = _careful(f"IPv{version}Address", _address_maker)
        made[f"IPv{version}Network"] = _careful(f"IPv{version}Network", partial(_network_maker, masks=masks))
        made[f"IPv{version}Interface"] = _careful(f"IPv{version}Interface", partial(_interface_maker, masks=masks))
    for cls in CLASSES.values():
        know_pure_key(cls)
    return made


MAKERS = _makers()
"""By name of the class: what builds its objects of texts. Each raises ValueError as the constructor does."""
