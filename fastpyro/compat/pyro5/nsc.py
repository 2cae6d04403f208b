"""Pyro5.nsc: the command that asks a name server."""

from __future__ import annotations

from typing import Any

from fastpyro.compat.shared.name_server_client import run_command, run_name_server_client

__all__ = ["handle_command", "main"]


def handle_command(namesrv: Any, cmd: str, args: list[str]) -> None:
    """Run one command with a name server's proxy."""
    run_command(namesrv, cmd, args, swallow=False)


def main(args: list[str] | None = None) -> None:
    """Run the command that the command line says."""
    run_name_server_client(args, swallow=False)


if __name__ == "__main__":
    main()
