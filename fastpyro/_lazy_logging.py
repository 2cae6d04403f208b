"""Loggers that write one line for each record, whatever foreign text it holds; and one that imports `logging` late.

Every logger of the package comes from here. Whatever a record says in the end, also of errors that others wrote, is
escaped: no peer adds lines to a log, or steers the terminal that shows it.
"""

from __future__ import annotations

import sys

from fastpyro._foreign_text import on_lines, on_one_line
from fastpyro._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from typing import Any

__all__ = ["LazyLogger", "logger"]

LONGEST_RECORD = 4000
"""Characters of a record's text; what is longer is cut."""

LONGEST_TRACEBACK = 100_000
"""Characters of a record's traceback."""


def logger(name: str) -> logging.Logger:
    """Return the logger of a name, as ``logging.getLogger`` does, whose records are safe to be shown."""
    import logging

    found = logging.getLogger(name)
    if _make_safe not in found.filters:
        found.addFilter(_make_safe)
    return found


def _make_safe(record: logging.LogRecord) -> bool:
    """Escape what a record says; a filter, so that it holds for all handlers of the program."""
    try:
        text = record.getMessage()
    except Exception:
        return True  # handlers meet it again, and tell it as they tell all such errors
    safe = on_one_line(text if len(text) <= LONGEST_RECORD else text[:LONGEST_RECORD] + "…")
    if safe != text:
        record.msg, record.args = safe, None
    if record.exc_info and not record.exc_text:
        from fastpyro.tracebacks import format_traceback

        kind, error, trace = record.exc_info
        # Formatters take this text instead of making one.
        whole = "".join(format_traceback(kind, error, trace, messages_on_one_line=True)).rstrip("\n")
        record.exc_text = whole if len(whole) <= LONGEST_TRACEBACK else whole[:LONGEST_TRACEBACK] + "…"
    if record.stack_info:
        record.stack_info = on_lines(record.stack_info)
    return True


class LazyLogger:
    """Stands for the logger of a name. Arguments: ``name``, as for ``logging.getLogger``."""

    __slots__ = ("_found", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._found: logging.Logger | None = None

    def debug(self, message: str, *arguments: object) -> None:
        """Log at level DEBUG, if the program uses `logging` at all: nobody can have asked for it otherwise."""
        if "logging" in sys.modules:
            (self._found or self._logger()).debug(message, *arguments, stacklevel=2)

    def warning(self, message: str, *arguments: object, **keywords: Any) -> None:
        """Log at level WARNING; arguments as for ``logging.Logger.warning``."""
        keywords.setdefault("stacklevel", 2)
        (self._found or self._logger()).warning(message, *arguments, **keywords)

    def _logger(self) -> logging.Logger:
        self._found = found = logger(self.name)
        return found
