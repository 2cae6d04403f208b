"""The servers of bench_peers.py: the same object, served by fastpyro or by Pyro5, in a process of its own.

Run as ``python peer_servers.py fastpyro|pyro5 [unix socket path]``; prints the object's URI and serves until it is stopped.
"""

from __future__ import annotations

import resource
import sys
from typing import Any


class Subject:
    """The methods that the benches call."""

    def null(self) -> None:
        """Do nothing."""

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        """Return the arguments."""
        return [list(args), kwargs]

    def add(self, left: int, right: int) -> int:
        """Return the sum."""
        return left + right

    def note(self, value: int) -> None:
        """Take a value without answering (oneway)."""
        self.noted = value

    def last_note(self) -> int:
        """Return the last value noted."""
        return self.noted

    def cpu_seconds(self) -> float:
        """Return the CPU time that this process has used."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime


def serve_fastpyro(unixsocket: str | None) -> None:
    import fastpyro

    fastpyro.expose(Subject)
    Subject.note = fastpyro.oneway(Subject.note)  # type: ignore[method-assign]
    with fastpyro.Daemon(host="127.0.0.1", unixsocket=unixsocket) as daemon:
        print(daemon.register(Subject(), "subject"), flush=True)
        daemon.requestLoop()


def serve_pyro5(unixsocket: str | None) -> None:
    import Pyro5.api

    Pyro5.api.expose(Subject)
    Subject.note = Pyro5.api.oneway(Subject.note)  # type: ignore[method-assign]
    with Pyro5.api.Daemon(host="127.0.0.1", unixsocket=unixsocket) as daemon:
        print(daemon.register(Subject(), "subject"), flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    {"fastpyro": serve_fastpyro, "pyro5": serve_pyro5}[sys.argv[1]](sys.argv[2] if len(sys.argv) > 2 else None)
