"""Pyro5.svr_multiplex: the server loop that ``daemon.transportServer`` is."""

from __future__ import annotations

from fastpyro.server.multiplex import MultiplexServer as SocketServer_Multiplex

__all__ = ["SocketServer_Multiplex"]
