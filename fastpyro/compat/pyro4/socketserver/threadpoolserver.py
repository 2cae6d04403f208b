"""Pyro4.socketserver.threadpoolserver: the server loop that runs methods in threads."""

from __future__ import annotations

from fastpyro.server.threaded import ThreadedServer as SocketServer_Threadpool

__all__ = ["SocketServer_Threadpool"]
