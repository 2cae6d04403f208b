"""Serves a worker whose slow job is started by a oneway call. Argument: a port (9511)."""

import sys
import threading

import fastpyro


class Worker:
    """Works in the background of its caller."""

    def __init__(self) -> None:
        self.done = threading.Event()

    @fastpyro.expose
    @fastpyro.oneway
    def work(self, seconds: float) -> None:
        """Work for some time; clients do not wait for it."""
        print(f"working for {seconds} s", flush=True)
        threading.Event().wait(seconds)
        self.done.set()
        print("work is done", flush=True)

    @fastpyro.expose
    def is_done(self) -> bool:
        """Tell whether the work is done."""
        return self.done.is_set()

    @fastpyro.expose
    def wait(self, seconds: float) -> bool:
        """Wait until the work is done."""
        return self.done.wait(seconds)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9511
    with fastpyro.Daemon(port=port) as daemon:
        print("uri =", daemon.register(Worker(), "example.oneway"), flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    main()
