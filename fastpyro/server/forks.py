"""What becomes of a server in a forked child: nothing of the parent's may be touched there.

A child shares its parent's descriptors: taking one out of the poller, shutting a socket down or removing a socket's file
would do it for the parent, too. So a server that serves already is let go of in the child, by closing the child's copies;
one that has not begun is the child's to use, with a poller and a wake-up of its own.
"""

from __future__ import annotations

import os
import sys
import weakref
from typing import TYPE_CHECKING

from fastpyro._foreign_text import on_lines

if TYPE_CHECKING:
    from fastpyro.server.interfaces import Server

__all__ = ["end_child", "remember"]

_servers: weakref.WeakSet[Server] = weakref.WeakSet()


def remember(server: Server) -> None:
    """Look after a server when its process forks."""
    _servers.add(server)


def end_child(error: SystemExit) -> None:
    """End a forked child whose thread, which was one of a server's, has been told to exit. Does not return."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue
    code = error.code
    if code is not None and not isinstance(code, int):
        os.write(2, f"{on_lines(str(code))}\n".encode("utf-8", "replace"))
        code = 1
    os._exit((code or 0) & 0xFF)


def _in_child() -> None:
    for server in list(_servers):
        server.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
