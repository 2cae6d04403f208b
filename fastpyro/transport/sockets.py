"""Listening and connected sockets, made from hosts, ports and Unix paths. Knows no messages.

TCP sockets always get TCP_NODELAY: small messages must leave at once. Within the machine they get the plainest congestion
control: there is nothing to control, and one that spreads packets over time (BBR) halves what a big message makes. Names
are tried on every address that they have, in the order that PREFER_IP_VERSION asks for, within one deadline.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator

from fastpyro.config import LONGEST_SOCKET_TIMEOUT, config
from fastpyro.transport.addresses import check_unix_path, host_text, look_up, port_number
from fastpyro.transport.attempts import opened, under_way
from fastpyro.transport.keepalive import keep_alive

__all__ = [
    "connect",
    "family_name",
    "host_port_text",
    "listen",
    "peer_uid",
    "receive_limit_kept",
    "remove_socket_file",
    "tune",
    "tune_accepted",
    "tunes_accepted",
]

_TIMEVAL = struct.calcsize("ll")

BACKLOG = 1024

LOOPBACK_CONGESTION = b"reno"
"""Linux has it always, and allows it to everybody."""

_CREDENTIALS = struct.Struct("iII")  # Linux's struct ucred: process, user, group
_NOBODY = 0xFFFFFFFF
"""The user id of a Unix socket that nobody has connected to."""

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6, 0: socket.AF_UNSPEC}


def connect(host: str | None, port: int | None, unixsocket: str | None, timeout: float) -> socket.socket:
    """Return a connected stream socket.

    Arguments: ``host`` and ``port``, or ``unixsocket``, a path (a leading NUL: Linux's abstract namespace);
    ``timeout``, seconds for all attempts together, 0 for no limit.
    Raises OSError (the last attempt's) when no address answers.
    """
    if unixsocket:
        check_unix_path(unixsocket)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        return _connect_one(sock, unixsocket, timeout or None)
    deadline = time.monotonic() + timeout if timeout else None
    failure: OSError | None = None
    for family, kind, protocol, _, address in _addresses(host, port):
        left = None if deadline is None else max(deadline - time.monotonic(), 0.001)
        sock = socket.socket(family, kind, protocol)
        tune(sock, str(address[0]))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        try:
            if not _is_loopback(str(address[0])):  # this machine's own kernel says at once when a peer has gone
                keep_alive(sock)
            return _connect_one(sock, address, left)
        except OSError as error:
            failure = error
    try:
        raise failure or OSError(f"no address found for {host!r}")
    finally:
        del failure  # its traceback holds this frame, which would hold it


def tune(sock: socket.socket, peer: str) -> None:
    """Let a TCP socket send at once, and without congestion control of weight to this machine itself.

    Arguments: ``peer``, the numeric address of the other end; for a listener its own.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_CONGESTION") and _is_loopback(peer):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, LOOPBACK_CONGESTION)
        except OSError:
            return  # it works without


def tune_accepted(sock: socket.socket, peer: str) -> None:
    """As ``tune``, for a socket that was accepted and has not got everything from its listener."""
    tune(sock, peer)
    if sys.platform != "linux" and not _is_loopback(peer):
        keep_alive(sock)


def tunes_accepted(listener: socket.socket) -> bool:
    """Return whether what a TCP listener accepts is tuned already: on Linux it inherits from one that was."""
    if sys.platform != "linux" or listener.family == socket.AF_UNIX:
        return False
    return _is_loopback(str(listener.getsockname()[0])) and bool(
        listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    )


def _is_loopback(address: str) -> bool:
    return address.startswith(("127.", "::ffff:127.")) or address == "::1"


def _connect_one(sock: socket.socket, address: object, timeout: float | None) -> socket.socket:
    try:
        if under_way:
            opened(sock)
        sock.settimeout(timeout if timeout is None else min(timeout, LONGEST_SOCKET_TIMEOUT))
        sock.connect(address)  # type: ignore[arg-type]
    except BaseException:
        sock.close()
        raise
    sock.settimeout(None)
    return sock


def _addresses(host: str | None, port: int | None) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    if host and port and host.count(".") == 3:
        try:
            socket.inet_pton(socket.AF_INET, host)
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
        except OSError:
            pass  # a name, after all
    found = look_up(host, port, socket.AF_UNSPEC)
    preferred = _FAMILIES.get(config.PREFER_IP_VERSION, socket.AF_UNSPEC)
    return sorted(found, key=lambda entry: entry[0] != preferred)


def listen(host: str, port: int, unixsocket: str | None) -> socket.socket:
    """Return a listening socket.

    Arguments: ``host`` (empty: all interfaces) and ``port`` (0: the system chooses), or ``unixsocket``, a path. A stale
    socket file, at which nobody listens, is replaced. Raises OSError when the address is taken or not of this machine;
    TypeError, OverflowError, ValueError and socket.gaierror for what is no port, path or host.
    """
    if unixsocket:
        return _listen_unix(unixsocket)
    host = host_text(host)
    port = port_number(port)
    try:
        family, _, _, _, address = _addresses(host or "0.0.0.0", port)[0]
    except OSError as error:
        raise _explained(error, host, "") from None
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if config.SOCK_REUSE:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tune(sock, str(address[0]))  # accepted sockets inherit it on Linux
        if not _is_loopback(str(address[0])):
            keep_alive(sock)  # as well
        sock.bind(address)
        sock.listen(BACKLOG)
    except BaseException as error:
        sock.close()
        raise _explained(error, f"{host or '0.0.0.0'}:{port}", "another port, or 0 for one that is free") from None
    return sock


def _explained(error: BaseException, where: str, choice: str) -> BaseException:
    """Return an error of listening that says where it was, and what to do; what is no such error stays what it is."""
    if isinstance(error, socket.gaierror):
        fact = "a daemon listens at localhost, at an address of this machine, or at 0.0.0.0 for all of them"
        return error if where in str(error) else type(error)(error.errno, f"{error.strerror}: {where}; {fact}")
    if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
        return OSError(error.errno, os.strerror(error.errno), where)
    if not isinstance(error, OSError) or error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
        return error
    fact = f"another program listens there, or one that has just ended did. Choose {choice}"
    if error.errno == errno.EADDRNOTAVAIL:
        fact = (
            "that is no address of this machine. Listen at localhost, at its own address, or at 0.0.0.0 for all of them"
        )
    return OSError(error.errno, f"{os.strerror(error.errno)}: {where}; {fact}")


def _listen_unix(path: str) -> socket.socket:
    check_unix_path(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_stale(path):
            os.unlink(path)
        sock.bind(path)
        sock.listen(BACKLOG)
    except BaseException as error:
        sock.close()
        raise _explained(error, path, "another path, or end that program") from None
    return sock


def _is_stale(path: str) -> bool:
    if path.startswith("\0"):
        return False
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
    except OSError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def remove_socket_file(path: str) -> None:
    """Remove a Unix socket's file after its listener has been closed; missing ones are no error."""
    if path and not path.startswith("\0"):
        with contextlib.suppress(OSError):
            os.unlink(path)


def host_port_text(host: str, port: int) -> str:
    """Return ``host:port`` as a URI's location has it, with brackets round an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.contextmanager
def receive_limit_kept(sock: socket.socket) -> Iterator[None]:
    """Let a socket that stays its owner's have the limit that it had for a recv, whatever is set on copies of it."""
    before = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL)
    try:
        yield
    finally:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, before)


def has_arrived(sock: socket.socket) -> bool:
    """Return whether something that nobody has read yet has arrived at a socket, be it its end."""
    import selectors

    try:
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)
            return bool(selector.select(0))
    except (OSError, ValueError):  # it is closed
        return False


def peer_uid(sock: socket.socket) -> int | None:
    """Return the user id of the process at the other end of a connected Unix socket, as the kernel knows it, or None.

    It is that of the moment at which the other end connected, listened, or made the pair.
    """
    if sys.platform != "linux" or sock.family != socket.AF_UNIX:
        return None  # what other systems call SO_PEERCRED has other fields
    try:
        _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    except (OSError, struct.error):
        return None
    return uid if uid != _NOBODY else None


def family_name(sock: socket.socket) -> str:
    """Return "IPv4", "IPv6", "Unix" or "???"."""
    names = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6", getattr(socket, "AF_UNIX", None): "Unix"}
    return names.get(sock.family, "???")
