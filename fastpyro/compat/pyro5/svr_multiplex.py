"""Pyro5.svr_multiplex: the server loop that ``daemon.transportServer`` is."""

from __future__ import annotations

from fastpyro.compat.shared.module_names import also_there
from fastpyro.compat.shared.transport_servers import SocketServer_Multiplex

__all__ = ["SocketServer_Multiplex"]

__getattr__ = also_there(__name__, "errors socketutil config", "contextlib logging os selectors socket sys time")
