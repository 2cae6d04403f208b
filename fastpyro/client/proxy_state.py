"""The state that a proxy travels as, checked: whoever wrote it says where the proxy leads, and no more."""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.client._proxy_state import is_ordinary_state
from fastpyro.values.checked import inert_of, text_of, texts_of, tuple_of

if TYPE_CHECKING:
    from typing import Any

__all__ = ["checked_state", "state_of_pyro4"]


def checked_state(state: Any) -> tuple[Any, ...]:
    """Return a state that somebody sent, as a tuple of its six parts. Raises SerializeError for what is no such state."""
    if is_ordinary_state(state):  # quickly: a message may hold a hundred thousand proxies
        return state  # type: ignore[no-any-return]
    parts = tuple_of(state, "a serialized proxy (uri, oneway, methods, attributes, handshake, serializer)", 6)
    text_of(parts[0], "the uri of a serialized proxy")
    for names in parts[1:4]:
        texts_of(names, "the names of a serialized proxy's methods and attributes")
    inert_of(parts[4], "the handshake data of a serialized proxy")
    if parts[5] is not None:
        text_of(parts[5], "the serializer of a proxy")
    return parts


def state_of_pyro4(state: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a state that Pyro4 wrote as one of ours."""
    # (uri, oneway, methods, attributes, timeout, HMAC key, handshake, retries, serializer), of which some may be missing.
    uri, oneway, methods, attributes, _timeout, _key, handshake_data, *rest = state
    return str(uri), oneway, methods, attributes, handshake_data, rest[1] if len(rest) == 2 else None
