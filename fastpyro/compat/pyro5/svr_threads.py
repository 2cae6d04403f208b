"""Pyro5.svr_threads: the server loop that ``daemon.transportServer`` is."""

from __future__ import annotations

from fastpyro.server.threaded import ThreadedServer as SocketServer_Threadpool

__all__ = ["SocketServer_Threadpool"]
