"""Pyro4.futures: functions that run in the background, and their results."""

from __future__ import annotations

from fastpyro.compat.shared.module_names import also_there
from fastpyro.futures.future import Future, FutureResult, _ExceptionWrapper

__all__ = ["Future", "FutureResult", "_ExceptionWrapper"]

__getattr__ = also_there(__name__, "", "functools logging sys threading time")
