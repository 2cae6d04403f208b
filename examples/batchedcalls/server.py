"""Serves a calculator. Argument: a port (9512)."""

import sys

import fastpyro


@fastpyro.expose
class Calculator:
    """Calculates."""

    def add(self, left: float, right: float) -> float:
        """Return the sum."""
        return left + right

    def divide(self, left: float, right: float) -> float:
        """Return the quotient."""
        return left / right


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9512
    with fastpyro.Daemon(port=port) as daemon:
        print("uri =", daemon.register(Calculator(), "example.batchedcalls"), flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    main()
