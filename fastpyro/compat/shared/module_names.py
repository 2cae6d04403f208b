"""Names that the modules of Pyro have because they import them: each other, their package's configuration, Python's modules.

A program may say ``Pyro4.core.util`` or ``Pyro5.server.config`` as well as where they are. They are looked up when somebody
asks for them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["also_there"]


def also_there(module_name: str, siblings: str, modules: str = "") -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a module. It has ``log``, too.

    Arguments: ``module_name``; ``siblings``, names of modules of its package, names in such modules (with a point between
    them), and the package's ``config``; ``modules``, names of modules of the standard library, and ``serpent``.
    """
    package = module_name.partition(".")[0]
    inside = dict(name.split(".")[::-1] for name in siblings.split() if "." in name)
    of_package, of_python = frozenset(siblings.split()), frozenset(modules.split())

    def find(name: str) -> Any:
        if name in of_package:
            return sys.modules[package].config if name == "config" else import_module(f"{package}.{name}")
        if name in inside:
            return getattr(import_module(f"{package}.{inside[name]}"), name)
        if name == "serpent" and name in of_python and not find_spec(name):
            return import_module("fastpyro.compat.shared.serpent_names")
        if name in of_python:
            return import_module(name)
        if name == "log":
            return logging.getLogger(module_name)
        raise AttributeError(f"module {module_name!r} has no attribute {name!r}")

    return find
