"""Lets programs that were written for Pyro5 or Pyro4 run on fastpyro, unchanged.

``install("Pyro5")`` (or ``"Pyro4"``) makes the folder ``pyro5`` (``pyro4``) here the package of that name: from then on
``import Pyro5.api`` imports ``pyro5/api.py``. ``python -m fastpyro.compat Pyro5 script.py`` runs a program whose imports of
Pyro5 mean that package; what the environment and the program's logging say counts when the program imports it.
The facades are tables of names; the only code in them is where a peer has rules of its own. They may import everything of
fastpyro and nothing of fastpyro imports them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["FACADES", "announce", "install"]

FACADES = {"Pyro5": "pyro5", "Pyro4": "pyro4"}
"""Names of the peers, and the folders here that stand for them."""


def install(name: str) -> ModuleType:
    """Make ``import Pyro5`` (or ``Pyro4``) mean fastpyro in this process; returns that package.

    May be called again. The configuration becomes the peer's: its defaults, and its environment variables.
    Raises ValueError for another name, ImportError when the real package has been imported already.
    """
    announce(name)
    return import_module(name)


def announce(name: str) -> None:
    """Make ``import Pyro5`` (or ``Pyro4``) mean fastpyro once somebody says it, and change nothing before.

    Raises ValueError for another name, ImportError when the real package has been imported already.
    """
    if name not in FACADES:
        raise ValueError(f"there are facades for {' and '.join(FACADES)}, not for {name!r}")
    folder = Path(__file__).parent / FACADES[name]
    existing = sys.modules.get(name)
    if existing is not None:
        if getattr(existing, "__path__", None) == [str(folder)]:
            return
        raise ImportError(f"{name} has been imported already; install its facade before anything imports it")
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
    _announced.add(name)


_announced: set[str] = set()


class _Finder:
    """Finds the packages that were announced; a finder, so that ``importlib.reload`` and all others find them, too."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in _announced:
            return None
        folder = Path(__file__).parent / FACADES[name]
        return spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
