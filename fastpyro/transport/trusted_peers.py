"""The peers that this process trusts, by what it has set itself and by what the kernel says; never by what a peer says.

Rule 1: an HMAC key counts only if this program set it, and is never empty. Keys do not arrive inside proxies.
Rule 2: the other end of a Unix socket, or of a loopback connection (`loopback_owner`), counts as this user's only if the
kernel says so; where it does not say it, never.
Rule 3: `lacks_for_pickles` decides, for both sides and every kind of channel, and nobody decides apart from it.
"""

from __future__ import annotations

import os
import socket

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.config import config
from fastpyro.errors import SecurityError
from fastpyro.transport import tls
from fastpyro.transport.sockets import peer_uid

if TYPE_CHECKING:
    from typing import Any

__all__ = ["hmac_key_of", "is_same_user", "lacks_for_pickles", "may_use_pickles", "require_trust"]

WITH_KEY = "set the same HMAC key (_pyroHmacKey) on both sides"
WITH_CERTIFICATES = "let both sides show certificates (SSL_CLIENTCERT and SSL_CACERTS, SSL_REQUIRECLIENTCERT)"

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


def lacks_for_pickles(sock: socket.socket, hmac_key: bytes | None) -> str:
    """Return the condition that is missing before what comes over a connected socket may run code here, and a way out.

    Arguments: ``sock``, a plain or TLS socket; ``hmac_key``, what its messages are checked with, or None. Returns "" when
    nothing is missing.
    """
    if hmac_key or tls.has_checked_both_sides(sock):
        return ""
    lacks = _lacks_same_user(sock)
    return f"{lacks}. Either {WITH_KEY if tls.is_plain(sock) else WITH_CERTIFICATES}" if lacks else ""


def _lacks_same_user(sock: socket.socket) -> str:
    from fastpyro.transport import loopback_owner  # most programs never ask

    if loopback_owner.ends_of(sock) is not None:
        if not config.PICKLES_ON_LOOPBACK:
            return "config.PICKLES_ON_LOOPBACK is off here"
        entry = loopback_owner.peer_entry(sock)
        uid = entry.uid if entry is not None and entry.inode else None
    elif sock.family == getattr(socket, "AF_UNIX", None):
        uid = peer_uid(sock)
    else:
        return "this is no connection within the machine, by a Unix socket or localhost (on Linux)"
    own = os.geteuid()
    if uid is None or uid == own == UNMAPPED_USER:
        return "the system does not say whose the other end of the connection is"
    return "" if uid == own else f"the other end of the connection is user {uid}'s, and this process is user {own}'s"


def may_use_pickles(sock: socket.socket, hmac_key: bytes | None) -> bool:
    """Return whether what comes over a connected socket may run code here; arguments as for ``lacks_for_pickles``."""
    return not lacks_for_pickles(sock, hmac_key)


def require_trust(
    serializer: str, sock: socket.socket, hmac_key: bytes | None, place: str | None, seconds: float = 0.0
) -> None:
    """Raise SecurityError, which says what is missing, unless a serializer that runs code may be used with a peer.

    Arguments: ``serializer``, its name; ``place``, where the peer is; ``seconds`` that it has for accepting a connection
    on this machine, 0 for no limit; the others are those of ``may_use_pickles``. Raises TimeoutError after the seconds.
    """
    lacks = lacks_for_pickles(sock, hmac_key)
    if lacks and config.PICKLES_ON_LOOPBACK:
        from fastpyro.transport import loopback_owner

        loopback_owner.await_peer(sock, seconds)
        lacks = lacks_for_pickles(sock, hmac_key)
    if lacks:
        raise SecurityError(
            f"serializer '{serializer}' runs what the other side wrote, and {place or 'it'!r} has not shown who it is: "
            f"{lacks}, or choose another serializer with _pyroSerializer or config.SERIALIZER"
        )
