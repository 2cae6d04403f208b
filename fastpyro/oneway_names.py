"""The names that a proxy calls oneway: those the server declared, and those the client asked for.

Names that the client adds (`add`, `update`, `|=`) last for the proxy's life, also when they were added before the first
connection; a plain assignment of a set replaces everything and is replaced in turn by what the server declares.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["OnewayNames"]


class OnewayNames(set[str]):
    """A set of method names that remembers which of them the client put in."""

    def __init__(self) -> None:
        super().__init__()
        self.remembered: set[str] = set()
        self.remembered_early: set[str] = set()
        """Names from before the server's metadata was known: calling them never fails for being unknown."""

    @classmethod
    def from_peer(cls, names: Iterable[str]) -> OnewayNames:
        """Return a set of names that nobody here asked for."""
        result = cls()
        set.update(result, names)
        return result

    @classmethod
    def copy_of(cls, names: Iterable[str]) -> OnewayNames:
        """Return an independent copy; what was remembered stays so."""
        result = cls.from_peer(names)
        if isinstance(names, OnewayNames):
            result.remembered = set(names.remembered)
            result.remembered_early = set(names.remembered_early)
        return result

    def take_from_peer(self, names: Iterable[str], *, first: bool) -> None:
        """Become the server's names and the remembered ones; ``first``: no metadata had been known before."""
        if first:
            self.remembered_early = set(self.remembered)
        set.clear(self)
        set.update(self, names, self.remembered)

    def add(self, name: str) -> None:
        self.remembered.add(name)
        set.add(self, name)

    def update(self, *others: Iterable[str]) -> None:
        for names in others:
            for name in names:
                self.add(name)

    def __ior__(self, other: Any) -> OnewayNames:  # type: ignore[override,misc]
        self.update(other)
        return self

    def discard(self, name: str) -> None:
        self.remembered.discard(name)
        self.remembered_early.discard(name)
        set.discard(self, name)

    def remove(self, name: str) -> None:
        set.remove(self, name)
        self.discard(name)

    def clear(self) -> None:
        self.remembered.clear()
        self.remembered_early.clear()
        set.clear(self)
