"""What a daemon says about an object's members, checked: a proxy answers to these names, so the daemon must not choose any.

Names that belong to proxies themselves, or that no object can expose, are left out. What is no metadata at all, or too
much of it, is a ProtocolError. Knows nothing of proxies.
"""

from __future__ import annotations

from fastpyro._foreign_text import has_controls
from fastpyro._light_typing import TYPE_CHECKING, NamedTuple
from fastpyro.client._proxy_state import ordinary_names
from fastpyro.errors import ProtocolError, SerializeError
from fastpyro.values.checked import mapping_of, texts_of
from fastpyro.values.member_names import is_private_attribute

if TYPE_CHECKING:
    from typing import Any

__all__ = ["Metadata", "member_details", "names_of", "read_idempotent", "read_metadata"]

MOST_NAMES = 100_000
"""Names of methods, or of attributes, of one object."""

LONGEST_NAME = 1000
"""Characters; a longer name is left out."""


class Metadata(NamedTuple):
    """The names of an object's methods and attributes, and which of the methods are called oneway."""

    methods: set[str]
    attributes: set[str]
    oneway: set[str]


def read_metadata(value: Any) -> Metadata:
    """Return what a daemon's metadata says. Raises ProtocolError when it is none."""
    try:
        table = mapping_of(value, "metadata")
        methods = names_of(table.get("methods", ()), "methods of an object")
        attributes = names_of(table.get("attrs", ()), "attributes of an object")
        oneway = names_of(table.get("oneway", ()), "oneway methods of an object")
    except SerializeError as error:
        raise ProtocolError(f"connect: the daemon's answer holds no metadata: {error}") from None
    return Metadata(methods, attributes, oneway & methods)


def read_idempotent(value: Any) -> set[str] | None:
    """Return which methods may run twice, from a daemon's metadata; None where it does not say. Raises ProtocolError."""
    try:
        table = mapping_of(value, "metadata")
        return names_of(table["idempotent"], "idempotent methods of an object") if "idempotent" in table else None
    except SerializeError as error:
        raise ProtocolError(f"connect: the daemon's answer holds no metadata: {error}") from None


def names_of(value: Any, what: str) -> set[str]:
    """Return those names that an object can expose. Raises SerializeError for what is no collection of str, or too big."""
    ordinary = ordinary_names(value, MOST_NAMES, LONGEST_NAME)  # a message may hold a hundred thousand of them
    if ordinary is not None:
        return ordinary
    names = texts_of(value, what)
    if len(names) > MOST_NAMES:
        raise SerializeError(f"{len(names):,} {what} are more than {MOST_NAMES:,}")
    return {name for name in names if _can_be_exposed(name)}


def _can_be_exposed(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and not is_private_attribute(name) and not has_controls(name)


def member_details(value: Any) -> dict[str, dict[str, Any]]:
    """Return signatures and docstrings by member, from the answer to a question for details; empty when it has none."""
    try:
        table = mapping_of(value, "metadata").get("details")
        members = mapping_of({} if table is None else table, "details").get("members", {})
        checked = {name: mapping_of(member, "a member") for name, member in mapping_of(members, "members").items()}
    except SerializeError as error:
        raise ProtocolError(f"the daemon's answer holds no metadata: {error}") from None
    return {name: {key: text for key, text in member.items() if type(text) is str} for name, member in checked.items()}
