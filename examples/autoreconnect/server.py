"""Serves a counter on a fixed port and under a fixed id, so that it is the same object after a restart. Argument: a port."""

import os
import sys

import fastpyro


@fastpyro.expose
class Server:
    """Tells which process it lives in."""

    def process(self) -> int:
        """Return the process id."""
        return os.getpid()


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9517
    with fastpyro.Daemon(port=port) as daemon:
        print("uri =", daemon.register(Server(), "example.autoreconnect"), flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    main()
