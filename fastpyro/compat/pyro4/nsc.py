"""Pyro4.nsc: the command that asks a name server."""

from __future__ import annotations

import optparse
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from fastpyro._foreign_text import on_one_line
from fastpyro.compat.shared.module_names import also_there

from .errors import PyroError
from .naming import locateNS

__all__ = ["handleCommand", "main"]

__getattr__ = also_there(__name__, "errors naming util core config", "warnings")

USAGE = """usage: %prog [options] command [arguments]
Commands: register remove removematching lookup list listmatching
          listmeta_all listmeta_any setmeta ping"""


def _ping(nameserver: Any, arguments: list[str]) -> None:
    nameserver.ping()
    print("Name server ping ok.")


def _list(nameserver: Any, arguments: list[str]) -> None:
    if arguments:
        found = nameserver.list(prefix=arguments[0], return_metadata=True)
        _print_listing(found, f"- prefix '{on_one_line(arguments[0])}'")
    else:
        _print_listing(nameserver.list(return_metadata=True))


def _list_matching(nameserver: Any, arguments: list[str]) -> None:
    found = nameserver.list(regex=arguments[0], return_metadata=True)
    _print_listing(found, f"- regex '{on_one_line(arguments[0])}'")


def _list_with_all(nameserver: Any, arguments: list[str]) -> None:
    _print_listing(nameserver.list(metadata_all=arguments, return_metadata=True), " - searched by metadata")


def _list_with_any(nameserver: Any, arguments: list[str]) -> None:
    _print_listing(nameserver.list(metadata_any=arguments, return_metadata=True), " - searched by metadata")


def _print_listing(found: dict[str, Any], title: str = "") -> None:
    print(f"--------START LIST {title}")
    for name, (uri, metadata) in sorted(found.items()):
        print(f"{on_one_line(name)} --> {on_one_line(uri)}")
        if metadata:
            print(f"    metadata: {sorted(metadata)}")
    print(f"--------END LIST {title}")


def _lookup(nameserver: Any, arguments: list[str]) -> None:
    uri, metadata = nameserver.lookup(arguments[0], return_metadata=True)
    print(on_one_line(str(uri)))
    if metadata:
        print(f"metadata: {sorted(metadata)}")


def _register(nameserver: Any, arguments: list[str]) -> None:
    nameserver.register(arguments[0], arguments[1], safe=True)
    print(f"Registered {on_one_line(arguments[0])}")


def _remove(nameserver: Any, arguments: list[str]) -> None:
    removed = nameserver.remove(arguments[0])
    print(f"Removed {on_one_line(arguments[0])}" if removed else "Nothing removed")


def _remove_matching(nameserver: Any, arguments: list[str]) -> None:
    sys.stdout.write("Potentially removing lots of items from the Name server. Are you sure (y/n)?")
    sys.stdout.flush()
    if sys.stdin.readline().strip() in ("y", "Y"):
        print(f"{nameserver.remove(regex=arguments[0])} items removed.")


def _set_metadata(nameserver: Any, arguments: list[str]) -> None:
    nameserver.set_metadata(arguments[0], arguments[1:])
    print("Metadata updated" if arguments[1:] else "Metadata cleared")


class Command(NamedTuple):
    """A command: what it does, how many arguments it needs, and what is said when there are fewer."""

    action: Callable[[Any, list[str]], None]
    least: int = 0
    complaint: str = ""


COMMANDS = {
    "ping": Command(_ping),
    "list": Command(_list),
    "listmatching": Command(_list_matching, 1, "requires one argument: pattern"),
    "listmeta_all": Command(_list_with_all, 1, "requires at least one metadata tag argument"),
    "listmeta_any": Command(_list_with_any, 1, "requires at least one metadata tag argument"),
    "lookup": Command(_lookup, 1, "requires one argument: name"),
    "register": Command(_register, 2, "requires two arguments: name uri"),
    "remove": Command(_remove, 1, "requires one argument: name"),
    "removematching": Command(_remove_matching, 1, "requires one argument: pattern"),
    "setmeta": Command(_set_metadata, 1, "requires at least 2 arguments: uri and zero or more meta tags"),
}


def handleCommand(nameserver: Any, options: Any, args: list[str]) -> None:
    """Run one command with a name server's proxy, and print what comes of it, also an error.

    Arguments: ``options`` of the command line, which change nothing; ``args``, the command and its arguments. Raises
    SystemExit when there are too few of them.
    """
    try:
        command = COMMANDS[args[0]]
        if len(args) - 1 < command.least:
            raise SystemExit(command.complaint)
        command.action(nameserver, args[1:])
    except Exception as error:
        print(f"Error: {type(error).__name__} - {on_one_line(str(error))}")


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
