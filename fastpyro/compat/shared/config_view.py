"""The configuration as a peer's programs know it: its items and defaults, over the one configuration of fastpyro.

An item that fastpyro has is that of fastpyro, and shows what the program set (3 stays 3, where fastpyro has 3.0). None,
where the peer has a default, means that default. The others are remembered: they are about things that fastpyro does
differently, such as which flags a socket has; switching on one of `ABSENT` is refused, because a program must not believe
that it is protected when it is not.
"""

from __future__ import annotations

import os
import platform
from typing import Any

from fastpyro.config import ITEMS, PREFIXES, config, without_secrets

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
    """The items of a peer as attributes. Arguments: ``items``, a dict from names to defaults.

    Unknown names raise AttributeError, as the peers do.
    """

    def __init__(self, items: dict[str, Any]) -> None:
        set_attribute = object.__setattr__
        set_attribute(self, "_items", items)
        set_attribute(self, "_own", {})
        set_attribute(self, "_as_set", {})
        self.reset()

    def __getattr__(self, name: str) -> Any:
        if name == "__slots__":
            return list(self._items)  # programs go through them to find all items
        if name not in self._items:
            raise self._unknown(name)
        if name in self._own:
            return self._own[name]
        value = getattr(config, name)
        shown, became = self._as_set.get(name, (value, value))
        return shown if became == value else value  # somebody may have set fastpyro's own

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._items:
            raise self._unknown(name)
        if name in ABSENT and value:
            raise ValueError(f"configuration item {name}: {ABSENT[name]}")
        if name in SETS:
            accepted = AcceptedSerializers(value)
            accepted._tell()
            self._own[name] = accepted
        elif name in FASTPYRO_ITEMS:
            meant = self._items[name] if value is None else value
            setattr(config, name, min(meant, LARGEST_MESSAGE) if name == "MAX_MESSAGE_SIZE" else meant)
            self._as_set.pop(name, None)
            if not isinstance(value, list):  # a list is fastpyro's, so that appending to it counts
                self._as_set[name] = value, getattr(config, name)
        else:
            self._own[name] = value

    def _unknown(self, name: str) -> AttributeError:
        return AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._items})

    def reset(self, use_environment: bool = True) -> None:
        """Set every item to the peer's default, or to what the environment says (``PYRO_`` and its name).

        What it says of other items of fastpyro counts, too. Raises ValueError for a value that does not fit.
        """
        for name, default in self._items.items():
            text = os.environ.get(PREFIX + name) if use_environment else None
            try:
                setattr(self, name, default if text is None else _converted(text, default))
            except (TypeError, ValueError) as error:
                raise ValueError(f"environment variable {PREFIX}{name}: {error}") from None
        for prefix in PREFIXES if use_environment else ():
            for name in FASTPYRO_ITEMS - set(self._items):
                if prefix + name in os.environ:
                    setattr(config, name, os.environ[prefix + name])

    def as_dict(self) -> dict[str, Any]:
        """Return all items and their values."""
        return {name: getattr(self, name) for name in self._items}

    def copy(self) -> PeerCopy:
        """Return an independent object with the same values; changing it changes nothing else."""
        return PeerCopy(self.as_dict(), self._head())

    def dump(self) -> str:
        """Return a text with versions and all items, one a line; passwords are not shown."""
        return _lines(self._head(), self.as_dict())

    def _head(self) -> list[str]:
        """Return the lines above the items."""
        return ["Currently active configuration settings:"]


class PeerCopy:
    """A snapshot of a configuration. Arguments: ``values``; ``head``, the lines above them."""

    def __init__(self, values: dict[str, Any], head: list[str]) -> None:
        self.__dict__.update(values)
        self._head = head

    def as_dict(self) -> dict[str, Any]:
        """Return all items and their values."""
        return {name: value for name, value in self.__dict__.items() if name != "_head"}

    def copy(self) -> PeerCopy:
        """Return an independent object with the same values."""
        return PeerCopy(self.as_dict(), self._head)

    def dump(self) -> str:
        """Return a text with versions and all items, one a line; passwords are not shown."""
        return _lines(self._head, self.as_dict())


def head_lines(version: str, folder: str, protocol: int, title: str) -> list[str]:
    """Return what a peer prints above its items. Arguments: ``folder`` of its package; ``title``, the last line."""
    python = f"{platform.python_implementation()} {platform.python_version()} ({platform.system()}, {os.name})"
    return [
        f"Pyro version: {version}",
        f"Loaded from: {folder}",
        f"Python version: {python}",
        f"Protocol version: {protocol}",
        title,
    ]


def _lines(head: list[str], values: dict[str, Any]) -> str:
    return "\n".join([*head, *(f"{name} = {value}" for name, value in sorted(without_secrets(values).items()))])


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
