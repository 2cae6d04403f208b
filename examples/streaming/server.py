"""Serves generators. Argument: a port (9519)."""

import sys
from collections.abc import Iterator

import fastpyro


@fastpyro.expose
class Streamer:
    """Gives items one by one."""

    def fibonacci(self) -> Iterator[int]:
        """Return an endless stream of numbers; each is computed when the client asks for it."""
        left, right = 0, 1
        try:
            while True:
                yield left
                left, right = right, left + right
        finally:
            print("the endless stream was closed", flush=True)

    def countdown(self, start: int) -> Iterator[int]:
        """Return a stream that ends."""
        return iter(range(start, 0, -1))


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9519
    with fastpyro.Daemon(port=port) as daemon:
        print("uri =", daemon.register(Streamer(), "example.streaming"), flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    main()
