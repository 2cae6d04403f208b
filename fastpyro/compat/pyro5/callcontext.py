"""Pyro5.callcontext."""

from __future__ import annotations

from fastpyro.callcontext import current_context

__all__ = ["current_context"]
