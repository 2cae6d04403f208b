"""A logger that imports `logging`, which takes longer than connecting, when there is something to log."""

from __future__ import annotations

import sys

from fastpyro.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

__all__ = ["LazyLogger"]


class LazyLogger:
    """Stands for the logger of a name. Arguments: ``name``, as for ``logging.getLogger``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def debug(self, message: str, *arguments: object) -> None:
        """Log at level DEBUG, if the program uses `logging` at all: nobody can have asked for it otherwise."""
        if "logging" in sys.modules:
            self._logger().debug(message, *arguments, stacklevel=2)

    def warning(self, message: str, *arguments: object, **keywords: Any) -> None:
        """Log at level WARNING; arguments as for ``logging.Logger.warning``."""
        keywords.setdefault("stacklevel", 2)
        self._logger().warning(message, *arguments, **keywords)

    def _logger(self) -> Any:
        import logging

        return logging.getLogger(self.name)
