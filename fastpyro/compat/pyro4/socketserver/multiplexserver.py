"""Pyro4.socketserver.multiplexserver: the server loop that runs methods in one thread."""

from __future__ import annotations

from fastpyro.compat.shared.transport_servers import SocketServer_Multiplex

__all__ = ["SocketServer_Multiplex"]
