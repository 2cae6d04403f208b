"""Modules whose classes and functions are named in pickles that were written before the modules stood in packages.

Importing one by its name of then gives the very module that bears another name now. Nothing else uses these names.
"""

from __future__ import annotations

import sys

from fastpyro._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["NEW_NAMES", "OldNames"]

NEW_NAMES = {
    "fastpyro.async_proxy": "fastpyro.client.async_proxy",
    "fastpyro.batch_proxy": "fastpyro.client.batch",
    "fastpyro.blobs": "fastpyro.protocol.blobs",
    "fastpyro.class_dicts": "fastpyro.values.peer_dicts",
    "fastpyro.class_registry": "fastpyro.values.registration",
    "fastpyro.daemon": "fastpyro.server.daemon",
    "fastpyro.daemon_object": "fastpyro.server.daemon_object",
    "fastpyro.exposure": "fastpyro.server.exposure",
    "fastpyro.future_result": "fastpyro.futures.result",
    "fastpyro.locate": "fastpyro.client.locate",
    "fastpyro.proxy": "fastpyro.client.proxy",
    "fastpyro.remote_exceptions": "fastpyro.values.exceptions",
}


class OldNames:
    """Finds and loads modules by their old names, for ``sys.meta_path``."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return the spec of a module with an old name, otherwise None."""
        if name not in NEW_NAMES:
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(name, OldNames)  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """Return None: any module will do, `exec_module` puts the right one in its place."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Put the module of today where Python looks for the one of then."""
        from importlib import import_module

        sys.modules[module.__name__] = import_module(NEW_NAMES[module.__name__])
