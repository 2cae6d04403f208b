"""Serves an adder that takes its time. Argument: a port (9513)."""

import sys
import time

import fastpyro


@fastpyro.expose
class Adder:
    """Adds, slowly."""

    def slow_add(self, left: int, right: int = 0, *, increase: int = 0) -> int:
        """Return the sum after a second."""
        time.sleep(1.0)
        return left + right + increase

    def divide(self, left: int, right: int) -> float:
        """Return the quotient."""
        return left / right


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9513
    with fastpyro.Daemon(port=port) as daemon:
        print("uri =", daemon.register(Adder(), "example.async"), flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    main()
