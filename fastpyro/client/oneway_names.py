"""The names that a proxy calls oneway: those the server declared, and those the client asked for.

Names that the client adds (`add`, `update`, `|=`) last for the proxy's life, also when they were added before the first
connection; a plain assignment of a set replaces everything and is replaced in turn by what the server declares.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastpyro._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

__all__ = ["OnewayNames"]


class OnewayNames(set[str]):
    """A set of method names that remembers which of them the client put in.

    Operators that make a new set (`|`, `&`, `-`, `^`, `copy`) give names that nobody asked for.
    """

    # Replaced, never changed: the new sets of set's own operators share these two, as no __init__ runs for them.
    remembered: frozenset[str] = frozenset()
    remembered_early: frozenset[str] = frozenset()
    """Names from before the server's metadata was known: calling them never fails for being unknown."""

    @classmethod
    def from_peer(cls, names: Iterable[str]) -> OnewayNames:
        """Return a set of names that nobody here asked for."""
        return cls(names)

    @classmethod
    def copy_of(cls, names: Iterable[str]) -> OnewayNames:
        """Return an independent copy; what was remembered stays so."""
        result = cls(names)
        if isinstance(names, OnewayNames):
            result.remembered = names.remembered
            result.remembered_early = names.remembered_early
        return result

    def __repr__(self) -> str:
        return repr(set(self))

    def take_from_peer(self, names: Iterable[str], *, first: bool) -> None:
        """Become the server's names and the remembered ones; ``first``: no metadata had been known before."""
        if first:
            self.remembered_early = self.remembered
        set.clear(self)
        set.update(self, names, self.remembered)

    def add(self, name: str) -> None:
        self.remembered |= {name}
        set.add(self, name)

    def update(self, *others: Iterable[str]) -> None:
        for names in others:
            for name in list(names):
                self.add(name)

    def __ior__(self, other: Any) -> OnewayNames:  # type: ignore[override,misc]
        self.update(other)
        return self

    def discard(self, name: object) -> None:
        set.discard(self, name)
        self._forget_removed()

    def remove(self, name: str) -> None:
        set.remove(self, name)
        self._forget_removed()

    def pop(self) -> str:
        name = set.pop(self)
        self._forget_removed()
        return name

    def clear(self) -> None:
        set.clear(self)
        self._forget_removed()

    def difference_update(self, *others: Iterable[Any]) -> None:
        set.difference_update(self, *others)
        self._forget_removed()

    def intersection_update(self, *others: Iterable[Any]) -> None:
        set.intersection_update(self, *others)
        self._forget_removed()

    def symmetric_difference_update(self, other: Iterable[str]) -> None:
        names = set(other)
        common = names & self
        self.update(names)
        self.difference_update(common)

    def __isub__(self, other: Any) -> OnewayNames:  # type: ignore[misc]
        self.difference_update(other)
        return self

    def __iand__(self, other: Any) -> OnewayNames:  # type: ignore[misc]
        self.intersection_update(other)
        return self

    def __ixor__(self, other: Any) -> OnewayNames:  # type: ignore[override,misc]
        self.symmetric_difference_update(other)
        return self

    def _forget_removed(self) -> None:
        self.remembered &= self
        self.remembered_early &= self
