"""What every contender serves, and what every client is: one set of methods for all libraries."""

from __future__ import annotations

import resource
from typing import Any


class Subject:
    """The methods that the benches call."""

    def __init__(self) -> None:
        self.noted: Any = None
        self.given: dict[int, bytes] = {}

    def null(self) -> None:
        """Do nothing."""

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        """Return the arguments."""
        return [list(args), kwargs]

    def add(self, left: int, right: int) -> int:
        """Return the sum."""
        return left + right

    def items(self, count: int) -> Any:
        """Return a stream of numbers."""
        return iter(range(count))

    def note(self, value: int) -> None:
        """Take a value (oneway where the library has that)."""
        self.noted = value

    def last_note(self) -> Any:
        """Return the last value noted."""
        return self.noted

    def rows(self, rows: Any) -> Any:
        """Return the rows."""
        return rows

    def upload(self, data: Any) -> int:
        """Return the size of what was sent, in bytes."""
        return len(data)

    def download(self, size: int) -> bytes:
        """Return so many bytes."""
        if size not in self.given:
            self.given = {size: bytes(size)}
        return self.given[size]

    def echo_bytes(self, data: Any) -> Any:
        """Return what was sent."""
        return data

    def cpu_seconds(self) -> float:
        """Return the CPU time that this process has used."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime


METHODS = tuple(name for name in vars(Subject) if not name.startswith("_"))
