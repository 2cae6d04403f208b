"""fastpyro as it comes: the native codec, the threaded server, default configuration."""

from __future__ import annotations

import sys
from typing import Any

import client
from subject import Subject

NAME = "fastpyro"
TRANSPORTS = ("tcp", "unix")


def version() -> str:
    import fastpyro

    return fastpyro.__version__


def serve(transport: str, path: str) -> None:
    import fastpyro

    class Served(Subject):
        array: Any = None

        def upload_array(self, array: Any) -> int:
            return int(array.nbytes)

        def download_array(self, size: int) -> Any:
            if self.array is None or self.array.nbytes != size:
                import numpy

                self.array = numpy.ones(size, "u1")
            return self.array

        def echo_array(self, array: Any) -> Any:
            return array

    for name in ("note",):
        setattr(Served, name, fastpyro.oneway(getattr(Subject, name)))
    fastpyro.expose(Subject)
    fastpyro.expose(Served)
    with fastpyro.Daemon(host="127.0.0.1", unixsocket=path if transport == "unix" else None) as daemon:
        print(daemon.register(Served(), "subject"), flush=True)
        daemon.requestLoop()


class Client(client.Client):
    def __init__(self, address: str) -> None:
        import fastpyro

        self.library = fastpyro
        self.remote = fastpyro.Proxy(address)

    def batch(self, count: int) -> list[Any]:
        batch = self.library.batch(self.remote)
        for number in range(count):
            batch.add(number, number)
        return list(batch())

    def items(self, count: int) -> int:
        """Return the sum of a stream's items."""
        return sum(self.remote.items(count))

    def oneway(self, count: int) -> Any:
        note = self.remote.note
        for number in range(count):
            note(number)
        return self.remote.last_note()

    def futures(self, count: int) -> list[Any]:
        if not hasattr(self, "twin"):  # the one that connects for a single call has no use for it
            self.twin = self.library.asyncproxy(self.remote)
        results = [self.twin.add(number, 1) for number in range(count)]
        return [result.value for result in results]

    def upload_array(self, array: Any) -> int:
        return int(self.remote.upload_array(array))

    def download_array(self, size: int) -> Any:
        return self.remote.download_array(size)

    def echo_array(self, array: Any) -> Any:
        return self.remote.echo_array(array)

    def close(self) -> None:
        self.remote._pyroRelease()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
