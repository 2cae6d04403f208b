"""Pyro5.svr_threads: the server loop that ``daemon.transportServer`` is."""

from __future__ import annotations

from fastpyro.compat.shared.module_names import also_there
from fastpyro.compat.shared.thread_pool import NoFreeWorkersError, Pool, PoolError, Worker
from fastpyro.compat.shared.transport_servers import Housekeeper, SocketServer_Threadpool

__all__ = ["Housekeeper", "NoFreeWorkersError", "Pool", "PoolError", "SocketServer_Threadpool", "Worker"]

__getattr__ = also_there(
    __name__, "errors socketutil config", "contextlib logging os selectors socket sys threading time"
)
