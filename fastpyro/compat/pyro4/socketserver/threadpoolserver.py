"""Pyro4.socketserver.threadpoolserver: the server loop that runs methods in threads."""

from __future__ import annotations

from fastpyro.compat.shared.transport_servers import SocketServer_Threadpool

__all__ = ["SocketServer_Threadpool"]
