"""Serves a sleeper. Argument: a port (9516)."""

import sys
import time

import fastpyro


@fastpyro.expose
class Sleeper:
    """Answers late."""

    def sleep(self, seconds: float) -> str:
        """Answer after some time."""
        time.sleep(seconds)
        return f"slept {seconds} s"


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9516
    with fastpyro.Daemon(port=port) as daemon:
        print("uri =", daemon.register(Sleeper(), "example.timeout"), flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    main()
