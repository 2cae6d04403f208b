"""Whether somebody listens at each of many places: tried at once, so that the silent ones do not add up.

Nothing is sent and nothing is read: a connection is made and closed. Knows no names.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import selectors
import socket
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

__all__ = ["Target", "addresses_of", "reachable"]

Target: TypeAlias = tuple[int, Any]
"""Address family and address, as sockets take them."""

Key = TypeVar("Key", bound=Hashable)

MOST_AT_ONCE = 64
"""Connections that are being made at a time."""

RESOLVERS = 8
"""Threads that ask for the addresses of host names."""

_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK})


def reachable(
    targets: Mapping[Key, Target], seconds: float, is_stopping: Callable[[], bool] = lambda: False
) -> dict[Key, bool]:
    """Return for each target whether a connection to it can be made within some seconds.

    Arguments: ``targets`` by any keys; ``is_stopping``: leave the rest out when it becomes true. Targets that could not be
    tried, for want of descriptors say, are left out.
    """
    outcome: dict[Key, bool] = {}
    waiting = list(targets.items())
    with selectors.DefaultSelector() as selector:
        deadlines: dict[socket.socket, tuple[Key, float]] = {}
        while (waiting or deadlines) and not is_stopping():
            while waiting and len(deadlines) < MOST_AT_ONCE:
                key, target = waiting.pop()
                started = _start(target, outcome, key)
                if started is not None:
                    selector.register(started, selectors.EVENT_WRITE)
                    deadlines[started] = (key, time.monotonic() + seconds)
            ready = {each.fileobj for each, _ in selector.select(_time_left(deadlines))}
            now = time.monotonic()
            for sock, (key, deadline) in list(deadlines.items()):
                if sock in ready or now >= deadline:
                    outcome[key] = sock in ready and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
                    _end(selector, deadlines, sock)
        for sock in list(deadlines):
            _end(selector, deadlines, sock)
    return outcome


def _start(target: Target, outcome: dict[Key, bool], key: Key) -> socket.socket | None:
    """Begin to connect; None when it is decided already, or cannot be tried."""
    family, address = target
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return None  # no descriptor left: not the fault of who is there
    try:
        sock.setblocking(False)
        failure = sock.connect_ex(address)
    except (OSError, ValueError, OverflowError):  # an address that cannot even be tried
        failure = errno.EINVAL
    if failure in _UNDER_WAY and family != socket.AF_UNIX:
        return sock
    # A Unix socket whose queue is full says EAGAIN: somebody is there.
    outcome[key] = failure == 0 or failure in _UNDER_WAY
    sock.close()
    return None


def _time_left(deadlines: dict[socket.socket, tuple[Key, float]]) -> float:
    if not deadlines:
        return 0.0
    return max(0.0, min(deadline for _, deadline in deadlines.values()) - time.monotonic())


def _end(
    selector: selectors.BaseSelector, deadlines: dict[socket.socket, tuple[Key, float]], sock: socket.socket
) -> None:
    selector.unregister(sock)
    del deadlines[sock]
    sock.close()


def addresses_of(hosts: Iterable[str], seconds: float) -> dict[str, frozenset[str] | None]:
    """Return the numeric addresses of hosts: none for one that does not exist, None for one not found in time.

    Names are asked for by a few threads, which end by themselves when the resolver answers late.
    """
    found: dict[str, frozenset[str] | None] = {}
    names: list[str] = []
    for host in set(hosts):
        numeric = _numeric(host)
        found[host] = numeric
        if numeric is None:
            names.append(host)
    if names:
        answers: dict[str, frozenset[str]] = {}
        deadline = time.monotonic() + seconds
        threads = [
            threading.Thread(target=_resolve, args=(names, answers, deadline), name="fastpyro-resolve", daemon=True)
            for _ in range(min(RESOLVERS, len(names)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        found.update(dict(answers))
    return found


def _numeric(host: str) -> frozenset[str] | None:
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return frozenset({host})
    if host == "localhost":
        return frozenset({"127.0.0.1", "::1"})
    return None


def _resolve(names: list[str], answers: dict[str, frozenset[str]], deadline: float) -> None:
    while time.monotonic() < deadline:
        try:
            name = names.pop()
        except IndexError:
            return
        try:
            infos = socket.getaddrinfo(name, None, socket.AF_UNSPEC, socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                continue  # nobody knows, for the moment
            answers[name] = frozenset()
        except (OSError, ValueError):  # ValueError: a name that cannot even be looked up
            answers[name] = frozenset()
        else:
            answers[name] = frozenset(str(info[4][0]) for info in infos)
