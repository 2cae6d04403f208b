"""Logging as the peers do it: under their names, set up by environment variables when their package is imported."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

__all__ = ["configure"]

SILENT = 9999
"""The level of the peer's logger when nobody asked for its messages."""


def configure(package: str, default_file: str, names: Mapping[str, str]) -> None:
    """Let fastpyro log as the package does, and follow PYRO_LOGLEVEL and PYRO_LOGFILE ("{stderr}": standard error).

    Arguments: ``default_file`` of the log; ``names``, the package's loggers by the names of fastpyro's. The handlers of a
    program that has set up logging itself are left alone.
    Raises AttributeError for a level that logging does not know.
    """
    peer = logging.getLogger(package)
    for ours, theirs in names.items():
        logging.getLogger(ours).name = theirs  # what its records say
    logging.getLogger("fastpyro").parent = peer  # level and handlers are those of the peer's logger
    level, target = os.environ.get("PYRO_LOGLEVEL"), os.environ.get("PYRO_LOGFILE", default_file)
    if not level:
        peer.setLevel(SILENT)
        return
    if not logging.getLogger().handlers:
        _write_to(None if target == "{stderr}" else target, getattr(logging, level))
        peer.info("Pyro log configured using built-in defaults, level=%s", level)


def _write_to(path: str | None, level: int) -> None:
    layout, moments = "[%(asctime)s.%(msecs)03d,%(name)s,%(levelname)s] %(message)s", "%Y-%m-%d %H:%M:%S"
    try:
        logging.basicConfig(level=level, filename=path, format=layout, datefmt=moments)
    except OSError as error:
        logging.basicConfig(level=level, format=layout, datefmt=moments)
        logging.getLogger().warning("the log goes to standard error: %s", error)
