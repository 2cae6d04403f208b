"""Dead peers: the kernel notices that the other machine or the cable is gone, and no busy method is taken for dead.

The other end's kernel answers for its program, however long that computes. Where data is on its way the user timeout
counts, and where nothing is said probes are sent.
"""

from __future__ import annotations

import socket

from fastpyro.config import config

__all__ = ["keep_alive"]

PROBES = 3
"""How many questions in a row a peer may leave without an answer."""

_IDLE = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)  # the latter is macOS's


def keep_alive(sock: socket.socket) -> None:
    """Have the kernel end a TCP connection whose other end has not answered it for ``config.KEEPALIVE`` seconds.

    A listener passes it on to what it accepts (Linux). 0 leaves the times to the system. What a system does not have is
    left out.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    seconds = config.KEEPALIVE
    if not seconds:
        return
    interval = max(seconds // (2 * PROBES), 1)
    count = min(PROBES, max(seconds - 1, 1))
    options = [(_IDLE, max(seconds - count * interval, 1))]
    options += [(getattr(socket, "TCP_KEEPINTVL", None), interval), (getattr(socket, "TCP_KEEPCNT", None), count)]
    options += [(getattr(socket, "TCP_USER_TIMEOUT", None), seconds * 1000)]
    for option, value in options:
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
