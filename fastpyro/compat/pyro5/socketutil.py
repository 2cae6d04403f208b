"""Pyro5.socketutil."""

from __future__ import annotations

import errno

from fastpyro.compat.shared.module_names import also_there
from fastpyro.compat.shared.socket_connections import SocketConnection
from fastpyro.compat.shared.socket_helpers import (
    bind_unused_port,
    create_bc_socket,
    create_socket,
    find_probably_unused_port,
    get_interface,
    get_ip_address,
    get_ssl_context,
    interrupt_socket,
    receive_data,
    send_data,
    set_keepalive,
    set_nodelay,
    set_noinherit,
    set_reuseaddr,
)
from fastpyro.transport.sockets import family_name as family_str

USE_MSG_WAITALL = True
ERRNO_RETRIES = [errno.EINTR, errno.EAGAIN, errno.EWOULDBLOCK, errno.EINPROGRESS]
ERRNO_BADF = [errno.EBADF]
ERRNO_ENOTSOCK = [errno.ENOTSOCK]
ERRNO_EADDRNOTAVAIL = [errno.EADDRNOTAVAIL]
ERRNO_EADDRINUSE = [errno.EADDRINUSE]

__all__ = [
    "ERRNO_BADF",
    "ERRNO_EADDRINUSE",
    "ERRNO_EADDRNOTAVAIL",
    "ERRNO_ENOTSOCK",
    "ERRNO_RETRIES",
    "USE_MSG_WAITALL",
    "SocketConnection",
    "bind_unused_port",
    "create_bc_socket",
    "create_socket",
    "family_str",
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

__getattr__ = also_there(
    __name__,
    "config errors errors.CommunicationError errors.ConnectionClosedError errors.TimeoutError",
    "contextlib errno ipaddress os platform select socket ssl time weakref",
)
