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

    Arguments: ``default_file`` of the log; ``names``, the package's loggers by the names of fastpyro's. A program that has
    set up logging itself is left alone.
    """
    peer = logging.getLogger(package)
    for ours, theirs in names.items():
        logging.getLogger(ours).name = theirs  # what its records say
    logging.getLogger("fastpyro").parent = peer  # level and handlers are those of the peer's logger
    if logging.getLogger().handlers:
        return
    level = os.environ.get("PYRO_LOGLEVEL")
    if not level:
        if peer.level == logging.NOTSET:
            peer.setLevel(SILENT)
        return
    target = os.environ.get("PYRO_LOGFILE", default_file)
    logging.basicConfig(
        level=getattr(logging, level),
        filename=None if target == "{stderr}" else target,
        format="[%(asctime)s.%(msecs)03d,%(name)s,%(levelname)s] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
