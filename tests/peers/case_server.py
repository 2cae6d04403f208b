"""Serves the cases, which are Python's source. Arguments: the library, "real" or "facade". Prints its URI."""

from __future__ import annotations

import sys
from typing import Any

from case_language import described, names_of  # type: ignore[import-not-found]

names = names_of(sys.argv[1], sys.argv[2] == "facade")
names["daemon"] = daemon = names["Daemon"](host="127.0.0.1")


@names["expose"]
class Cases:
    """What a client needs of the other side."""

    def describe(self, *args: Any, **kwargs: Any) -> str:
        return str(described([list(args), kwargs]))

    def make(self, source: str) -> Any:
        return eval(source, names)

    def stream(self, source: str) -> Any:
        yield 1
        yield eval(source, names)

    @property
    def failing(self) -> Any:
        return eval(names["source"], names)

    def prepare(self, source: str) -> None:
        exec(source, names)

    def serve(self, source: str) -> str:
        """Run a source that sets ``served``, and register that."""
        exec(source, names)
        return str(daemon.register(names["served"]))


print("uri", daemon.register(Cases(), "cases"), flush=True)
daemon.requestLoop()
