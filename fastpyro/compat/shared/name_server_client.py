"""The command that asks a name server, with the peers' options and lines."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from fastpyro.cli.nsc import COMMANDS, handle_command
from fastpyro.locate import locateNS

__all__ = ["run_name_server_client"]


def run_name_server_client(arguments: list[str] | None, swallow: bool) -> None:
    """Run one command. Arguments: of the command (None: of this process); ``swallow``: errors are printed, not raised."""
    parser = argparse.ArgumentParser(description="Pyro name server control utility.")
    parser.add_argument("-n", "--host", default="", help="hostname of the NS")
    parser.add_argument("-p", "--port", type=int, help="port of the NS (or bc-port if host isn't specified)")
    parser.add_argument("-u", "--unixsocket", help="Unix domain socket name of the NS")
    parser.add_argument("-v", "--verbose", action="store_true", help="verbose output")
    if swallow:
        parser.add_argument("-k", "--key", help=argparse.SUPPRESS)
    parser.add_argument("command", choices=(*COMMANDS, *OLD_COMMANDS))
    options, rest = parser.parse_known_args(arguments)
    if options.verbose:
        print("Locating name server...")
    host = f"./u:{options.unixsocket}" if options.unixsocket else options.host
    try:
        name_server = locateNS(host, options.port, hmac_key=getattr(options, "key", None))
    except Exception as error:
        print(f"Error: {error}")
        sys.exit(1)
    if options.verbose:
        print("Name server found:", name_server._pyroUri)
    with name_server:
        run_command(name_server, options.command, rest, swallow)


OLD_COMMANDS = {"listmeta_all": "metadata_all", "listmeta_any": "metadata_any"}


def run_command(name_server: Any, command: str, arguments: list[str], swallow: bool) -> None:
    """Run one command on a name server's proxy and print what comes of it; see ``run_name_server_client``."""
    try:
        if command in OLD_COMMANDS:
            found = name_server.list(**{OLD_COMMANDS[command]: arguments, "return_metadata": True})
            print("--------START LIST - searched by metadata")
            for name, (uri, metadata) in sorted(found.items()):
                print(f"{name} --> {uri}\n    metadata: {', '.join(sorted(metadata))}")
            print("--------END LIST - searched by metadata")
        else:
            handle_command(name_server, command, arguments)
    except Exception as error:
        print(f"Error: {type(error).__name__} - {error}")
        if not swallow:
            raise
