"""Pyro5.callcontext."""

from __future__ import annotations

from fastpyro.callcontext import CallContext as _CallContext
from fastpyro.callcontext import current_context
from fastpyro.compat.shared.module_names import also_there

__all__ = ["_CallContext", "current_context"]

__getattr__ = also_there(__name__, "errors", "threading")
