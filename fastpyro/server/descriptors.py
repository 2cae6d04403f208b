"""How many descriptors connections may have: all that the system allows, but for some that the program keeps."""

from __future__ import annotations

import errno
import sys

__all__ = ["LISTENER_GONE", "OUT_OF_ROOM", "most_descriptors"]

OUT_OF_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""The errors of accepting that go when another connection is closed."""

LISTENER_GONE = (
    "the listening socket of the daemon on %s has been closed: no client can connect any more; those that are connected "
    "are served, and the request loop ends with the last of them"
)

MOST_KEPT = 64
"""Descriptors that are kept back for files, outgoing connections and whatever else the program opens."""

UNLIMITED = 1 << 20


def most_descriptors() -> int:
    """Return how many connections there may be, by the limit of this process (RLIMIT_NOFILE)."""
    if sys.platform == "win32":
        return UNLIMITED
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return UNLIMITED
    return max(limit - min(MOST_KEPT, limit // 4), 2)
