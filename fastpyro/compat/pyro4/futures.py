"""Pyro4.futures: functions that run in the background, and their results."""

from __future__ import annotations

from fastpyro.futures.future import Future, FutureResult, _ExceptionWrapper

__all__ = ["Future", "FutureResult", "_ExceptionWrapper"]
