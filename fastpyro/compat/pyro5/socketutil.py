"""Pyro5.socketutil."""

from __future__ import annotations

from fastpyro.compat.shared.socket_helpers import (
    bind_unused_port,
    create_bc_socket,
    create_socket,
    find_probably_unused_port,
    get_interface,
    get_ip_address,
    interrupt_socket,
    receive_data,
    send_data,
    set_keepalive,
    set_nodelay,
    set_noinherit,
    set_reuseaddr,
)
from fastpyro.server.connection import Connection as SocketConnection
from fastpyro.transport.sockets import family_name as family_str

USE_MSG_WAITALL = True

__all__ = [
    "USE_MSG_WAITALL",
    "SocketConnection",
    "bind_unused_port",
    "create_bc_socket",
    "create_socket",
    "family_str",
    "find_probably_unused_port",
    "get_interface",
    "get_ip_address",
    "interrupt_socket",
    "receive_data",
    "send_data",
    "set_keepalive",
    "set_nodelay",
    "set_noinherit",
    "set_reuseaddr",
]
