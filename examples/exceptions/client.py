"""Catches remote errors as if they were local. Argument: the server's uri."""

import sys

from bank import OverdrawnError

import fastpyro


def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else "PYRO:example.exceptions@localhost:9515"
    with fastpyro.Proxy(uri) as bank:
        print("left:", bank.withdraw("ada", 30))
        try:
            bank.withdraw("ada", 130)
        except OverdrawnError as error:
            print(f"our own class: {error} (account {error.account}, missing {error.missing})")
        try:
            bank.divide(10, 0)
        except ZeroDivisionError as error:
            print("a builtin class:", error)
            print("".join(fastpyro.errors.get_pyro_traceback(error)))

        # Uncaught errors show the remote traceback, too, with this hook.
        sys.excepthook = fastpyro.errors.excepthook
        bank.divide(10, 0)


if __name__ == "__main__":
    main()
