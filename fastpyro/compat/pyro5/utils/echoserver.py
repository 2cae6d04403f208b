"""Pyro5.utils.echoserver: an object to try things with, and the command that serves it."""

from __future__ import annotations

from typing import Any

from fastpyro.compat.shared.echo_tool import run_echo_server
from fastpyro.echo import EchoServer

__all__ = ["EchoServer", "main"]


def main(args: list[str] | None = None, returnWithoutLooping: bool = False) -> tuple[Any, Any, Any] | None:
    """Run an echo server as the command line says."""
    return run_echo_server(args, returnWithoutLooping, key=False)


if __name__ == "__main__":
    main()
