"""Pyro5 with its defaults: serpent, the threaded server."""

from __future__ import annotations

import sys
from typing import Any

import client
from subject import Subject

NAME = "Pyro5"
TRANSPORTS = ("tcp", "unix")


def version() -> str:
    import Pyro5

    return str(Pyro5.__version__)


def serve(transport: str, path: str) -> None:
    import Pyro5.api

    Subject.note = Pyro5.api.oneway(Subject.note)  # type: ignore[method-assign]
    Pyro5.api.expose(Subject)
    with Pyro5.api.Daemon(host="127.0.0.1", unixsocket=path if transport == "unix" else None) as daemon:
        print(daemon.register(Subject(), "subject"), flush=True)
        daemon.requestLoop()


class Client(client.Client):
    def __init__(self, address: str) -> None:
        import Pyro5.api
        import serpent

        self.library = Pyro5.api
        self.to_bytes = serpent.tobytes
        self.remote = Pyro5.api.Proxy(address)

    def batch(self, count: int) -> list[Any]:
        batch = self.library.BatchProxy(self.remote)
        for number in range(count):
            batch.add(number, number)
        return list(batch())

    def items(self, count: int) -> int:
        """Return the sum of a stream's items."""
        return sum(self.remote.items(count))

    def oneway(self, count: int) -> Any:
        for number in range(count):
            self.remote.note(number)
        return self.remote.last_note()

    def download(self, size: int) -> Any:
        return self.to_bytes(self.remote.download(size))

    def echo_bytes(self, data: bytes) -> Any:
        return self.to_bytes(self.remote.echo_bytes(data))

    def close(self) -> None:
        self.remote._pyroRelease()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
