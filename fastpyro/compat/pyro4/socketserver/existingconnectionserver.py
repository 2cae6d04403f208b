"""Pyro4.socketserver.existingconnectionserver: the server loop for one socket that is connected already."""

from __future__ import annotations

from fastpyro.server.existing import ExistingConnectionServer as SocketServer_ExistingConnection

__all__ = ["SocketServer_ExistingConnection"]
