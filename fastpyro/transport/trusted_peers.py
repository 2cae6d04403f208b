"""Whom this process trusts, by what it has set itself and by what the kernel says; never by what a peer says.

Rule 1: an HMAC key counts only if this program set it, and is never empty. Keys do not arrive inside proxies.
Rule 2: a Unix socket's other end counts as this user's only if the kernel says so; where it does not say it, never.
Rule 3: `may_use_pickles` decides, for both sides and every kind of channel, and nobody decides apart from it.
"""

from __future__ import annotations

import os

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.errors import SecurityError
from fastpyro.transport import tls
from fastpyro.transport.sockets import peer_uid

if TYPE_CHECKING:
    import socket
    from typing import Any

__all__ = ["NEEDED_BY_PICKLES", "hmac_key_of", "is_same_user", "may_use_pickles", "require_trust"]

NEEDED_BY_PICKLES = (
    "an HMAC key (_pyroHmacKey) on both sides, TLS with certificates on both sides (SSL_CLIENTCERT and SSL_CACERTS, "
    "SSL_REQUIRECLIENTCERT), or a Unix socket whose other end is the same user's"
)

UNMAPPED_USER = 65534
"""Linux gives this id for everybody who has none in this user namespace: it proves nothing."""


def hmac_key_of(key: Any) -> bytes | None:
    """Return the bytes of a key that this program sets; text is taken as UTF-8, None is no key.

    Raises ValueError for an empty key, which everybody has, and TypeError for what is no key.
    """
    if key is None:
        return None
    if isinstance(key, str):
        key = key.encode("utf-8")
    elif not isinstance(key, bytes):
        raise TypeError(f"an HMAC key is bytes, a str or None, not {type(key).__name__}")
    if not key:
        raise ValueError("an empty HMAC key proves nothing, because everybody has it; None means that there is no key")
    return bytes(key)


def is_same_user(sock: socket.socket) -> bool:
    """Return whether the kernel says that the other end of a connected socket belongs to the user of this process."""
    uid = peer_uid(sock)
    return uid is not None and uid != UNMAPPED_USER and uid == os.geteuid()


def may_use_pickles(sock: socket.socket, hmac_key: bytes | None) -> bool:
    """Return whether what comes over a connected socket may run code here.

    Arguments: ``sock``, a plain or TLS socket; ``hmac_key``, what its messages are checked with, or None.
    """
    return bool(hmac_key) or tls.has_checked_both_sides(sock) or is_same_user(sock)


def require_trust(serializer: str, sock: socket.socket, hmac_key: bytes | None, place: str | None) -> None:
    """Raise SecurityError, which says what is missing, unless a serializer that runs code may be used with a peer.

    Arguments: ``serializer``, its name; ``place``, where the peer is; the others are those of ``may_use_pickles``.
    """
    if may_use_pickles(sock, hmac_key):
        return
    uid = peer_uid(sock)
    found = "" if uid is None else f" (this one's is user {uid}'s, and this process is user {os.geteuid()}'s)"
    raise SecurityError(
        f"serializer '{serializer}' runs what the other side wrote, and {place or 'it'!r} has not shown who it is: it needs "
        f"{NEEDED_BY_PICKLES}{found}. Or choose another one with _pyroSerializer or config.SERIALIZER"
    )
