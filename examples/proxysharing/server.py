"""Serves a counter. Argument: a port (9518)."""

import sys
import threading

import fastpyro


@fastpyro.expose
class Counter:
    """Counts for many callers at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def increment(self) -> int:
        """Count one more."""
        with self._lock:
            self._count += 1
            return self._count


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9518
    with fastpyro.Daemon(port=port) as daemon:
        print("uri =", daemon.register(Counter(), "example.proxysharing"), flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    main()
