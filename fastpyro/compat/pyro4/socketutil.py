"""Pyro4.socketutil: sockets, and addresses as texts."""

from __future__ import annotations

import errno
import ipaddress
from typing import Any

from fastpyro.compat.shared import socket_helpers
from fastpyro.compat.shared.module_names import also_there
from fastpyro.compat.shared.socket_connections import SocketConnection
from fastpyro.compat.shared.socket_helpers import UNSET as _GLOBAL_DEFAULT_TIMEOUT
from fastpyro.compat.shared.socket_helpers import bind_unused_port as bindOnUnusedPort
from fastpyro.compat.shared.socket_helpers import create_bc_socket as createBroadcastSocket
from fastpyro.compat.shared.socket_helpers import create_socket as createSocket
from fastpyro.compat.shared.socket_helpers import find_probably_unused_port as findProbablyUnusedPort
from fastpyro.compat.shared.socket_helpers import get_ssl_context as getSSLcontext
from fastpyro.compat.shared.socket_helpers import interrupt_socket as interruptSocket
from fastpyro.compat.shared.socket_helpers import receive_data as receiveData
from fastpyro.compat.shared.socket_helpers import send_data as sendData
from fastpyro.compat.shared.socket_helpers import set_keepalive as setKeepalive
from fastpyro.compat.shared.socket_helpers import set_nodelay as setNoDelay
from fastpyro.compat.shared.socket_helpers import set_noinherit as setNoInherit
from fastpyro.compat.shared.socket_helpers import set_reuseaddr as setReuseAddr
from fastpyro.config import config
from fastpyro.transport.sockets import family_name as family_str

__all__ = [
    "ERRNO_BADF",
    "ERRNO_EADDRINUSE",
    "ERRNO_EADDRNOTAVAIL",
    "ERRNO_ENOTSOCK",
    "ERRNO_RETRIES",
    "_GLOBAL_DEFAULT_TIMEOUT",
    "SocketConnection",
    "bindOnUnusedPort",
    "createBroadcastSocket",
    "createSocket",
    "family_str",
    "findProbablyUnusedPort",
    "getInterfaceAddress",
    "getIpAddress",
    "getIpVersion",
    "getSSLcontext",
    "interruptSocket",
    "receiveData",
    "sendData",
    "setKeepalive",
    "setNoDelay",
    "setNoInherit",
    "setReuseAddr",
]

__getattr__ = also_there(
    __name__,
    "config errors errors.CommunicationError errors.ConnectionClosedError errors.TimeoutError",
    "os select socket ssl sys time weakref",
)

ERRNO_RETRIES = [errno.EINTR, errno.EAGAIN, errno.EWOULDBLOCK, errno.EINPROGRESS]
ERRNO_BADF = [errno.EBADF]
ERRNO_ENOTSOCK = [errno.ENOTSOCK]
ERRNO_EADDRNOTAVAIL = [errno.EADDRNOTAVAIL]
ERRNO_EADDRINUSE = [errno.EADDRINUSE]


def getIpAddress(hostname: str | None, workaround127: bool = False, ipVersion: int | None = None) -> str:
    """Return the address of a host (empty: this machine) as text. ``workaround127``: prefer one that others can reach.

    Arguments: ``ipVersion``, 4, 6, or None for what the configuration prefers. Raises OSError when there is none.
    """
    version = config.PREFER_IP_VERSION if ipVersion is None else ipVersion
    return str(socket_helpers.get_ip_address(hostname, workaround127, version))


def getIpVersion(hostnameOrAddress: str) -> int:
    """Return 4 or 6: the kind of address that a host has. Raises OSError when it has none."""
    try:
        return ipaddress.ip_address(hostnameOrAddress).version
    except ValueError:
        return socket_helpers.get_ip_address(hostnameOrAddress, version=config.PREFER_IP_VERSION).version


def getInterfaceAddress(ip_address: Any) -> str:
    """Return, as text, the address of this machine from which another one, or a host, would be reached. Raises OSError."""
    return str(socket_helpers.get_interface(getIpAddress(str(ip_address))).ip)
