"""Pyro4 with its defaults: serpent, the threaded server."""

from __future__ import annotations

import sys
from typing import Any

import client
from subject import Subject

NAME = "Pyro4"
TRANSPORTS = ("tcp", "unix")


def version() -> str:
    import Pyro4

    return str(Pyro4.__version__)


def serve(transport: str, path: str) -> None:
    import Pyro4

    Subject.note = Pyro4.oneway(Subject.note)  # type: ignore[method-assign]
    Pyro4.expose(Subject)
    with Pyro4.Daemon(host="127.0.0.1", unixsocket=path if transport == "unix" else None) as daemon:
        print(daemon.register(Subject(), "subject"), flush=True)
        daemon.requestLoop()


class Client(client.Client):
    def __init__(self, address: str) -> None:
        import Pyro4
        import serpent

        self.library = Pyro4
        self.to_bytes = serpent.tobytes
        self.remote = Pyro4.Proxy(address)

    def batch(self, count: int) -> list[Any]:
        batch = self.library.batch(self.remote)
        for number in range(count):
            batch.add(number, number)
        return list(batch())

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
