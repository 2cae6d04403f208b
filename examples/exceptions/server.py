"""Serves a bank that raises errors. Argument: a port (9515)."""

import sys

from bank import OverdrawnError

import fastpyro


@fastpyro.expose
class Bank:
    """Has 100 coins in each account."""

    def withdraw(self, account: str, coins: int) -> int:
        """Take coins out; raises OverdrawnError when there are not enough."""
        if coins > 100:
            raise OverdrawnError(account, missing=coins - 100)
        return 100 - coins

    def divide(self, coins: int, people: int) -> float:
        """Return each one's share."""
        return coins / people


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9515
    with fastpyro.Daemon(port=port) as daemon:
        print("uri =", daemon.register(Bank(), "example.exceptions"), flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    main()
