"""The names of one of the libraries, for the programs here: Pyro4, Pyro5 or fastpyro. Run with plain sys.path."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any


def load(name: str) -> Any:
    """Return what the programs need of a library, under one set of names."""
    if name == "Pyro4":
        module: Any = importlib.import_module("Pyro4")
        core: Any = importlib.import_module("Pyro4.core")
        module.config.SERIALIZERS_ACCEPTED = {"serpent", "json", "msgpack", "marshal", "pickle", "dill", "cloudpickle"}
        return SimpleNamespace(
            **{
                key: getattr(module, key)
                for key in ("Proxy", "Daemon", "expose", "oneway", "current_context", "config")
            },
            BatchProxy=module.batch,
            SerializedBlob=core.SerializedBlob,
            locate_ns=module.locateNS,
        )
    module = importlib.import_module("fastpyro.api" if name == "fastpyro" else "Pyro5.api")
    return module
