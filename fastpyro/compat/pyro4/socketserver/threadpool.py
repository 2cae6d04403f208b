"""Pyro4.socketserver.threadpool: a pool of threads for jobs."""

from __future__ import annotations

from fastpyro.compat.shared.thread_pool import NoFreeWorkersError, Pool, PoolError, Worker

__all__ = ["NoFreeWorkersError", "Pool", "PoolError", "Worker"]
