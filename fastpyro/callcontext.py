"""What surrounds a call: who calls, and the annotations and correlation id that travel beside the arguments.

`current_context` shows each thread its own call; the native module `_call_context` has the rules.
"""

from __future__ import annotations

from fastpyro.protocol._call_context import CallContext, current_context

__all__ = ["CallContext", "current_context"]
