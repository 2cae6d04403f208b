"""Pyro5.svr_existingconn: the server loop that ``daemon.transportServer`` is."""

from __future__ import annotations

from fastpyro.server.existing import ExistingConnectionServer as SocketServer_ExistingConnection

__all__ = ["SocketServer_ExistingConnection"]
