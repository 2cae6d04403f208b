"""Pyro5.nsc: the command that asks a name server."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from fastpyro._foreign_text import on_one_line
from fastpyro.client.locate import locate_ns
from fastpyro.compat.shared.module_names import also_there
from fastpyro.compat.shared.name_commands import Commands, run

__all__ = ["handle_command", "main"]

__getattr__ = also_there(__name__, "core errors")

_ALL = Commands(
    lambda tags: "{" + ", ".join(map(repr, tags)) + "}", "requires arguments: uri and zero or more meta tags"
)
COMMANDS = {name: command for name, command in _ALL.by_name.items() if not name.startswith("listmeta")}


def handle_command(namesrv: Any, cmd: str, args: list[str]) -> None:
    """Run one command with a name server's proxy and print what comes of it.

    Raises what goes wrong, after printing it; SystemExit when the number of arguments is wrong.
    """
    run(COMMANDS, cmd, namesrv, args)


def main(args: list[str] | None = None) -> None:
    """Run the command that the command line says (None: that of this process)."""
    parser = argparse.ArgumentParser(description="Pyro name server control utility.")
    parser.add_argument("-n", "--host", default="", help="hostname of the NS")
    parser.add_argument("-p", "--port", type=int, help="port of the NS (or bc-port if host isn't specified)")
    parser.add_argument("-u", "--unixsocket", help="Unix domain socket name of the NS")
    parser.add_argument("-v", "--verbose", action="store_true", help="verbose output")
    parser.add_argument("command", choices=list(COMMANDS))
    options, rest = parser.parse_known_args(args)
    if options.verbose:
        print("Locating name server...")
    try:
        name_server = locate_ns(f"./u:{options.unixsocket}" if options.unixsocket else options.host, options.port)
    except Exception as error:
        print(f"Error: {on_one_line(str(error))}")
        sys.exit(1)
    if options.verbose:
        print("Name server found:", name_server._pyroUri)
    with name_server:
        handle_command(name_server, options.command, rest)
    if options.verbose:
        print("Done.")


if __name__ == "__main__":
    main()
