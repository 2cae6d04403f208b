"""Socket functions that programs for Pyro use; fastpyro itself has `sockets`.

Both facades offer them, each in its own spelling.
"""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import ipaddress
import socket
import struct
from typing import Any

from fastpyro.config import config
from fastpyro.errors import ConnectionClosedError, TimeoutError
from fastpyro.transport.tls import make_context

__all__ = [
    "bind_unused_port",
    "create_bc_socket",
    "create_socket",
    "find_probably_unused_port",
    "get_interface",
    "get_ip_address",
    "get_ssl_context",
    "interrupt_socket",
    "receive_data",
    "send_data",
    "set_keepalive",
    "set_nodelay",
    "set_noinherit",
    "set_reuseaddr",
]

UNSET = -1
"""A timeout that says: the one of the configuration."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

LINGER = struct.pack("ii", 1, 1)


def get_ip_address(hostname: str | None, workaround127: bool = False, version: int | None = None) -> Address:
    """Return the address of a host (empty: this machine). ``workaround127``: prefer one that others can reach.

    Arguments: ``version``, 4, 6, or None for what the system says. Raises OSError when there is none.
    """
    hostname = hostname or socket.gethostname()
    family = {None: socket.AF_UNSPEC, 0: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}[version]
    text = str(socket.getaddrinfo(hostname, 80, family, socket.SOCK_STREAM)[0][4][0]).partition("%")[0]
    address = ipaddress.ip_address(text)
    if workaround127 and (address.is_loopback or str(address) == "0.0.0.0"):
        return get_interface("4.2.2.2").ip
    return address


def get_interface(ip_address: str | Address) -> Interface:
    """Return the address of this machine from which another one, an address or a name, is reached. Raises OSError."""
    try:
        address = ipaddress.ip_address(str(ip_address))
    except ValueError:
        address = get_ip_address(str(ip_address))
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((str(address), 53))  # sends nothing
        own = sock.getsockname()[0].partition("%")[0]
    return ipaddress.ip_interface(f"{own}/{24 if address.version == 4 else 64}")


def create_socket(
    bind: Any = None,
    connect: Any = None,
    reuseaddr: bool = False,
    keepalive: bool = True,
    timeout: float | None = UNSET,
    noinherit: bool = False,
    ipv6: bool = False,
    nodelay: bool = True,
    sslContext: Any = None,
) -> socket.socket:
    """Return a stream socket that listens (``bind``) or is connected (``connect``), to (host, port) or a path.

    Raises ValueError when both are given, OSError when the system refuses.
    """
    if bind and connect:
        raise ValueError("bind and connect cannot both be specified at the same time")
    family = _family_of(bind or connect, ipv6)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sslContext is not None:
            sock = sslContext.wrap_socket(
                sock, server_side=bool(bind), server_hostname=connect[0] if isinstance(connect, tuple) else None
            )
        if nodelay and family != socket.AF_UNIX:
            set_nodelay(sock)
        if reuseaddr:
            set_reuseaddr(sock)
        if noinherit:
            set_noinherit(sock)
        sock.settimeout(_seconds(timeout))
        if bind:
            sock.bind(bind)
            sock.listen(200)
        elif connect:
            sock.connect(connect)
        if keepalive:
            set_keepalive(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _family_of(target: Any, ipv6: bool) -> int:
    if isinstance(target, str):
        return socket.AF_UNIX
    return socket.AF_INET6 if ipv6 or (target and ":" in target[0]) else socket.AF_INET


def create_bc_socket(
    bind: Any = None, reuseaddr: bool = False, timeout: float | None = UNSET, ipv6: bool = False
) -> socket.socket:
    """Return a datagram socket that may broadcast. Raises OSError."""
    sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if reuseaddr:
            set_reuseaddr(sock)
        sock.settimeout(_seconds(timeout))
        if bind:
            sock.bind((bind[0] or "", *bind[1:]))
    except BaseException:
        sock.close()
        raise
    return sock


def _seconds(timeout: float | None) -> float | None:
    if timeout == UNSET:
        timeout = config.COMMTIMEOUT
    return timeout or None


def receive_data(sock: Any, size: int) -> bytes:
    """Return exactly so many bytes. Raises ConnectionClosedError (``partialData`` has what came), TimeoutError."""
    data = bytearray()
    try:
        while len(data) < size:
            part = sock.recv(min(size - len(data), 1 << 20))
            if not part:
                break
            data += part
    except TimeoutError:
        raise
    except builtins.TimeoutError as error:
        raise TimeoutError("receiving: timeout") from error
    except OSError as error:
        raise ConnectionClosedError(f"receiving: connection lost: {error}") from error
    if len(data) < size:
        failure: Any = ConnectionClosedError("receiving: not enough data")
        failure.partialData = bytes(data)
        try:
            raise failure
        finally:
            del failure  # its traceback holds this frame, which would hold it
    return bytes(data)


def send_data(sock: Any, data: Any) -> None:
    """Send all bytes. Raises ConnectionClosedError, TimeoutError."""
    try:
        sock.sendall(data)
    except builtins.TimeoutError as error:
        raise TimeoutError("sending: timeout") from error
    except OSError as error:
        raise ConnectionClosedError(f"sending: connection lost: {error}") from error


def set_reuseaddr(sock: Any) -> None:
    """Set SO_REUSEADDR, where there is such a thing."""
    with contextlib.suppress(Exception):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def set_nodelay(sock: Any) -> None:
    """Set TCP_NODELAY, where there is such a thing."""
    with contextlib.suppress(Exception):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def set_keepalive(sock: Any) -> None:
    """Set SO_KEEPALIVE, where there is such a thing."""
    with contextlib.suppress(Exception):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def set_noinherit(sock: Any) -> None:
    """Keep child processes from inheriting the socket."""
    with contextlib.suppress(Exception):
        fd = sock.fileno()
        fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.fcntl(fd, fcntl.F_GETFD) | fcntl.FD_CLOEXEC)


def find_probably_unused_port(family: int = socket.AF_INET, socktype: int = socket.SOCK_STREAM) -> int:
    """Return a port that was free a moment ago."""
    with socket.socket(family, socktype) as sock:
        return bind_unused_port(sock)


def bind_unused_port(sock: Any, host: str = "localhost") -> int:
    """Bind a socket to a free port, and return the port."""
    sock.bind((host, 0))
    return int(sock.getsockname()[1])


def interrupt_socket(address: Any) -> None:
    """Wake up whoever accepts connections there."""
    with contextlib.suppress(OSError), create_socket(connect=address, keepalive=False, timeout=1.0) as sock:
        sock.sendall(b"!" * 16)


def get_ssl_context(
    servercert: str = "",
    serverkey: str = "",
    clientcert: str = "",
    clientkey: str = "",
    cacerts: str = "",
    keypassword: str = "",
) -> Any:
    """Return a TLS context for a server (``servercert`` is given) or a client, an ``ssl.SSLContext``.

    Arguments: files; ``cacerts``, file or folder of the authorities to trust (empty: a client trusts the system's);
    ``keypassword``, of the key. Whether a server's clients need a certificate is said by ``config.SSL_REQUIRECLIENTCERT``.
    Raises ValueError when both certificates are given, OSError for files that are not there, or not what they should be.
    """
    if servercert and clientcert:
        raise ValueError("a context is for a server or for a client: give one certificate")
    if servercert:
        return make_context(True, servercert, serverkey, keypassword, cacerts, config.SSL_REQUIRECLIENTCERT)
    return make_context(False, clientcert, clientkey, keypassword, cacerts, True)
