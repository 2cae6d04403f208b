"""Serves a worker that reports its progress to an object of the client. Argument: a port (9514)."""

import sys
from typing import Any

import fastpyro


@fastpyro.expose
class Worker:
    """Works, and calls back."""

    def work(self, steps: int, observer: Any) -> str:
        """Do some steps; ``observer`` is a proxy for the client's own object."""
        for step in range(steps):
            observer.progress(step + 1, steps)
        try:
            observer.finished("too late")
        except ValueError as error:
            print("the observer raised:", error, flush=True)
        answer: str = observer.progress(steps, steps)  # the connection is still good
        return answer


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9514
    with fastpyro.Daemon(port=port) as daemon:
        print("uri =", daemon.register(Worker(), "example.callback"), flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    main()
