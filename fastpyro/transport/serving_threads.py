"""Which daemons of this process are served by one thread only: a call to one of them in that one would wait for itself."""

from __future__ import annotations

import os

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro._mutex import ServingThread

if TYPE_CHECKING:
    import socket
    from typing import Any

__all__ = ["begin_to_serve", "end_serving", "serving_thread"]

_threads: dict[Any, ServingThread] = {}
"""By the addresses of the listeners: the path of a Unix socket, else the port."""


def begin_to_serve(listener: socket.socket, thread: ServingThread) -> None:
    """Note which thread serves the daemon that listens there."""
    try:
        key = _key_of(listener.getsockname())
    except OSError:  # it is closed
        return
    if key:  # nobody can connect to what has no name
        _threads[key] = thread


def end_serving(thread: ServingThread) -> None:
    """Forget a daemon that is closed."""
    thread.ident = 0
    for key in [key for key, value in list(_threads.items()) if value is thread]:
        _threads.pop(key, None)


def serving_thread(sock: socket.socket) -> ServingThread | None:
    """Return the thread that serves the daemon at the other end of a connected socket; None when it is not one of these."""
    if not _threads:
        return None
    try:
        peer, own = sock.getpeername(), sock.getsockname()
    except OSError:  # it has gone already; who uses it will hear so
        return None
    thread = _threads.get(_key_of(peer))
    if thread is None or (isinstance(peer, tuple) and peer[0] != own[0]):
        return None  # the same port of another host: what is on this one has the same address at both ends
    return thread


def _key_of(address: Any) -> Any:
    return address[1] if isinstance(address, tuple) else address


def _in_child() -> None:
    for thread in _threads.values():
        thread.ident = 0  # the thread that forked has its number in the child, and serves nothing there
    _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
