"""Pyro4.nsc: the command that asks a name server."""

from __future__ import annotations

import contextlib
import optparse
import os
from typing import Any

from fastpyro._foreign_text import on_one_line
from fastpyro.compat.shared.module_names import also_there
from fastpyro.compat.shared.name_commands import Commands, run

from .errors import PyroError
from .naming import locateNS

__all__ = ["handleCommand", "main"]

__getattr__ = also_there(__name__, "errors naming util core config", "os sys warnings")

USAGE = """usage: %prog [options] command [arguments]
Commands: register remove removematching lookup list listmatching
          listmeta_all listmeta_any setmeta ping"""


_ALL = Commands(str, "requires at least 2 arguments: uri and zero or more meta tags")
COMMANDS = {name: command for name, command in _ALL.by_name.items() if not name.startswith("yplookup")}


def handleCommand(nameserver: Any, options: Any, args: list[str]) -> None:
    """Run one command with a name server's proxy, and print what comes of it, also an error.

    Arguments: ``options`` of the command line, which change nothing; ``args``, the command and its arguments. Raises
    SystemExit when their number is wrong.
    """
    with contextlib.suppress(Exception):  # it has been printed
        run(COMMANDS, args[0], nameserver, args[1:])


def main(args: list[str] | None = None) -> None:
    """Run the command that the command line says (None: that of this process)."""
    parser = optparse.OptionParser(usage=USAGE)
    parser.add_option("-n", "--host", help="hostname of the NS")
    parser.add_option("-p", "--port", type="int", help="port of the NS (or bc-port if host isn't specified)")
    parser.add_option("-u", "--unixsocket", help="Unix domain socket name of the NS")
    parser.add_option("-k", "--key", help="the HMAC key to use (deprecated)")
    parser.add_option("-v", "--verbose", action="store_true", default=False, help="verbose output")
    options, arguments = parser.parse_args(args)
    if not arguments or arguments[0] not in COMMANDS:
        parser.error("invalid or missing command")
    if options.verbose:
        print("Locating name server...")
    host = f"./u:{options.unixsocket}" if options.unixsocket else options.host
    key = options.key or os.environ.get("PYRO_HMAC_KEY") or None
    try:
        nameserver = locateNS(host, options.port, hmac_key=key)
    except PyroError as error:
        print(f"Error: {on_one_line(str(error))}")
        return
    with nameserver:
        if options.verbose:
            print(f"Name server found: {nameserver._pyroUri}")
        handleCommand(nameserver, options, arguments)
    if options.verbose:
        print("Done.")


if __name__ == "__main__":
    main()
