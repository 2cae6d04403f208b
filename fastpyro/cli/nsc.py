"""``fastpyro nsc``: ask a name server, or change what it knows."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--host", help="host of the name server")
    parser.add_argument("-p", "--port", type=int, help="port of the name server")
    parser.add_argument("-u", "--unixsocket", help="path of the name server's Unix socket")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell which name server is asked")
    parser.add_argument("--yes", action="store_true", help="do not ask before removing many names")
    parser.add_argument("action", choices=sorted(ACTIONS), help="what to do")
    parser.add_argument("arguments", nargs="*", help="names, URIs, patterns or tags, as the action needs")


def run(options: argparse.Namespace) -> int:
    from fastpyro.locate import locate_ns

    least, most, action = ACTIONS[options.action]
    if not least <= len(options.arguments) <= most:
        print(f"fastpyro nsc {options.action}: wrong number of arguments: {len(options.arguments)}", file=sys.stderr)
        return 2
    host = f"./u:{options.unixsocket}" if options.unixsocket else options.host
    with locate_ns(host, options.port) as nameserver:
        if options.verbose:
            print(f"name server: {nameserver._pyroUri}")
        return action(nameserver, options) or 0


def _print_list(entries: dict[str, Any], what: str = "") -> None:
    print(f"--------START LIST {what}")
    for name, (uri, metadata) in sorted(entries.items()):
        print(f"{name} --> {uri}")
        if metadata:
            print(f"    metadata: {sorted(metadata)}")
    print(f"--------END LIST {what}")


def _ping(nameserver: Any, options: argparse.Namespace) -> None:
    nameserver.ping()
    print("Name server ping ok.")


def _list(nameserver: Any, options: argparse.Namespace) -> None:
    if options.arguments:
        (prefix,) = options.arguments
        _print_list(nameserver.list(prefix=prefix, return_metadata=True), f"- prefix '{prefix}'")
    else:
        _print_list(nameserver.list(return_metadata=True))


def _listmatching(nameserver: Any, options: argparse.Namespace) -> None:
    (pattern,) = options.arguments
    _print_list(nameserver.list(regex=pattern, return_metadata=True), f"- regex '{pattern}'")


def _lookup(nameserver: Any, options: argparse.Namespace) -> None:
    uri, metadata = nameserver.lookup(options.arguments[0], return_metadata=True)
    print(uri)
    if metadata:
        print(f"metadata: {sorted(metadata)}")


def _register(nameserver: Any, options: argparse.Namespace) -> None:
    name, uri = options.arguments
    nameserver.register(name, uri, safe=True)
    print(f"Registered {name}")


def _remove(nameserver: Any, options: argparse.Namespace) -> None:
    (name,) = options.arguments
    print(f"Removed {name}" if nameserver.remove(name) else "Nothing removed")


def _removematching(nameserver: Any, options: argparse.Namespace) -> int:
    (pattern,) = options.arguments
    if not options.yes:
        names = sorted(nameserver.list(regex=pattern))
        print("\n".join(names))
        if not names or input(f"Remove these {len(names)} names, y/n? ").strip().lower() != "y":
            print("Nothing removed")
            return 0
    print(f"{nameserver.remove(regex=pattern)} items removed.")
    return 0


def _setmeta(nameserver: Any, options: argparse.Namespace) -> None:
    name, *tags = options.arguments
    nameserver.set_metadata(name, tags)
    print("Metadata updated" if tags else "Metadata cleared")


def _yplookup_all(nameserver: Any, options: argparse.Namespace) -> None:
    _print_list(nameserver.yplookup(meta_all=options.arguments), "- searched by metadata")


def _yplookup_any(nameserver: Any, options: argparse.Namespace) -> None:
    _print_list(nameserver.yplookup(meta_any=options.arguments), "- searched by metadata")


MANY = 1000

ACTIONS: dict[str, tuple[int, int, Callable[[Any, argparse.Namespace], int | None]]] = {
    "ping": (0, 0, _ping),
    "list": (0, 1, _list),
    "listmatching": (1, 1, _listmatching),
    "lookup": (1, 1, _lookup),
    "register": (2, 2, _register),
    "remove": (1, 1, _remove),
    "removematching": (1, 1, _removematching),
    "setmeta": (1, MANY, _setmeta),
    "yplookup_all": (1, MANY, _yplookup_all),
    "yplookup_any": (1, MANY, _yplookup_any),
}
"""Action: fewest and most arguments, and its function."""
