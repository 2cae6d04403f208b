"""Logging as the peers set it up: by environment variables, when their package is imported."""

from __future__ import annotations

import logging
import os

__all__ = ["configure"]

SILENT = 9999
"""The level of the peer's logger when nobody asked for its messages."""


def configure(package: str, default_file: str) -> None:
    """Follow PYRO_LOGLEVEL and PYRO_LOGFILE ("{stderr}": standard error), unless the program has set up logging itself."""
    level = os.environ.get("PYRO_LOGLEVEL")
    if not level:
        for name in (package, "fastpyro"):
            logger = logging.getLogger(name)
            if logger.level == logging.NOTSET and not logging.getLogger().handlers:
                logger.setLevel(SILENT)
        return
    if logging.getLogger().handlers:
        return
    target = os.environ.get("PYRO_LOGFILE", default_file)
    logging.basicConfig(
        level=getattr(logging, level),
        filename=None if target == "{stderr}" else target,
        format="[%(asctime)s.%(msecs)03d,%(name)s,%(levelname)s] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
