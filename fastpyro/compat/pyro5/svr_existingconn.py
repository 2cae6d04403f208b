"""Pyro5.svr_existingconn: the server loop that ``daemon.transportServer`` is."""

from __future__ import annotations

from fastpyro.compat.shared.module_names import also_there
from fastpyro.server.existing import ExistingConnectionServer as SocketServer_ExistingConnection

__all__ = ["SocketServer_ExistingConnection"]

__getattr__ = also_there(__name__, "errors socketutil config", "logging socket ssl sys")
