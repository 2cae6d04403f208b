"""The configuration as a peer's programs know it: its items and defaults, over the one configuration of fastpyro.

An item that fastpyro has is that of fastpyro. The others are remembered (`PeerConfiguration.own`): they are about things
that fastpyro does differently, such as which flags a socket has; switching on one of `ABSENT` is refused, because a
program must not believe that it is protected when it is not.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from fastpyro._version import __version__
from fastpyro.config import ITEMS, config, without_secrets

__all__ = ["PeerConfiguration"]

FASTPYRO_ITEMS = frozenset(item.name for item in ITEMS)

ABSENT = {
    "FLAME_ENABLED": "fastpyro has no flame: running whatever a client sends is not offered",
}

SETS = frozenset({"SERIALIZERS_ACCEPTED"})
PREFIX = "PYRO_"
LARGEST_MESSAGE = 0xFFFFFFFF
"""Bytes; what the header of a message can say."""


class AcceptedSerializers(set[str]):
    """A set of names that tells fastpyro what it has become."""

    def _tell(self) -> None:
        config.SERIALIZERS_ACCEPTED = set(self) | {"native"}

    def add(self, name: str) -> None:
        super().add(name)
        self._tell()

    def discard(self, name: object) -> None:
        super().discard(name)
        self._tell()

    def remove(self, name: str) -> None:
        super().remove(name)
        self._tell()

    def update(self, *others: Any) -> None:
        super().update(*others)
        self._tell()

    def clear(self) -> None:
        super().clear()
        self._tell()


class PeerConfiguration:
    """The items of a peer as attributes. Arguments: ``peer``, its name; ``items``, a dict from names to defaults.

    Unknown names raise AttributeError, as the peers do.
    """

    def __init__(self, peer: str, items: dict[str, Any]) -> None:
        set_attribute = object.__setattr__
        set_attribute(self, "_peer", peer)
        set_attribute(self, "_items", items)
        set_attribute(self, "_own", {})
        self.reset()

    def __getattr__(self, name: str) -> Any:
        if name == "__slots__":
            return list(self._items)  # programs go through them to find all items
        if name not in self._items:
            raise AttributeError(f"{self._peer} has no configuration item {name!r}")
        return getattr(config, name) if name in FASTPYRO_ITEMS and name not in SETS else self._own[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._items:
            raise AttributeError(f"{self._peer} has no configuration item {name!r}")
        if name in ABSENT and value:
            raise ValueError(f"configuration item {name}: {ABSENT[name]}")
        if name in SETS:
            accepted = AcceptedSerializers(value)
            accepted._tell()
            self._own[name] = accepted
        elif name == "MAX_MESSAGE_SIZE":
            config.MAX_MESSAGE_SIZE = min(value, LARGEST_MESSAGE)
        elif name in FASTPYRO_ITEMS:
            setattr(config, name, value)
        else:
            self._own[name] = value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._items})

    def reset(self, use_environment: bool = True) -> None:
        """Set every item to the peer's default, or to what the environment says (``PYRO_`` and its name)."""
        for name, default in self._items.items():
            text = os.environ.get(PREFIX + name) if use_environment else None
            try:
                setattr(self, name, default if text is None else _converted(text, default))
            except (TypeError, ValueError) as error:
                raise ValueError(f"environment variable {PREFIX}{name}: {error}") from None

    def as_dict(self) -> dict[str, Any]:
        """Return all items and their values."""
        return {name: getattr(self, name) for name in self._items}

    def copy(self) -> PeerCopy:
        """Return an independent object with the same values; changing it changes nothing else."""
        return PeerCopy(self.as_dict())

    def dump(self) -> str:
        """Return a text with versions and all items, one a line."""
        lines = [
            f"{self._peer} version: {__version__} (fastpyro)",
            f"Loaded from: {os.path.dirname(__file__)}",
            f"Python version: {sys.version.split()[0]} ({sys.platform})",
            "Protocol version: 502",
            "Currently active configuration settings:",
        ]
        values = {
            **without_secrets(self.as_dict()),
            "LOGFILE": os.environ.get("PYRO_LOGFILE"),
            "LOGLEVEL": os.environ.get("PYRO_LOGLEVEL"),
        }
        lines += [f"{name} = {value}" for name, value in sorted(values.items())]
        return "\n".join(lines)


class PeerCopy:
    """A snapshot of a configuration. Arguments: ``values``."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)

    def as_dict(self) -> dict[str, Any]:
        """Return all items and their values."""
        return dict(self.__dict__)


def _converted(text: str, default: Any) -> Any:
    if isinstance(default, bool):
        if text.lower() in ("1", "yes", "on", "true"):
            return True
        if text.lower() in ("0", "no", "off", "false"):
            return False
        raise ValueError(f"invalid value for a boolean: {text!r}")
    if isinstance(default, set | frozenset | list):
        return type(default)(part.strip() for part in text.split(","))
    return text if default is None else type(default)(text)
