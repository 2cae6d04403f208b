"""Pyro4.utils.flameserver: the command that ran a flame server; it says that there is none."""

from __future__ import annotations

from typing import NoReturn

from . import flame

__all__ = ["main"]


def main(args: list[str] | None = None, returnWithoutLooping: bool = False) -> NoReturn:
    """Raise SecurityError."""
    flame.start(None)


if __name__ == "__main__":
    main()
