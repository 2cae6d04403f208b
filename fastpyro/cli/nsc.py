"""Ask a name server, or change what it knows."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

from fastpyro._foreign_text import on_one_line

__all__ = ["COMMANDS", "EPILOG", "add_arguments", "handle_command", "run"]

EPILOG = (
    "Commands: ping; list [PREFIX]; listmatching REGEX; lookup NAME; register NAME URI; remove NAME; "
    "removematching REGEX; setmeta NAME [TAG…]; yplookup_all TAG…; yplookup_any TAG…"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("-n", "--host", default="", help="where the name server is (default: NS_HOST)")
    parser.add_argument("-p", "--port", type=int, help="its port (default: NS_PORT)")
    parser.add_argument("-u", "--unixsocket", metavar="PATH", help="its Unix socket")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more, also about errors")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before removing")
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", help="what to do, see below")
    parser.add_argument("args", nargs="*", metavar="ARG", help="the command's arguments")


def run(options: argparse.Namespace) -> int:
    """Run one command. Raises NamingError when there is no name server, or what the name server raises."""
    from fastpyro.client.locate import locate_ns

    if options.verbose:
        print("Locating name server...")
    host = f"./u:{options.unixsocket}" if options.unixsocket else options.host
    with locate_ns(host, options.port) as name_server:
        if options.verbose:
            print(f"Name server found: {on_one_line(str(name_server._pyroUri))}")
        return handle_command(name_server, options.command, options.args, options.yes)


def handle_command(namesrv: Any, cmd: str, args: list[str], yes: bool = False) -> int:
    """Run one command with a name server's proxy; prints the outcome and returns the exit code.

    Arguments: ``namesrv``; ``cmd``, one of ``COMMANDS``; ``args`` of the command; ``yes``: do not ask before removing.
    Raises ValueError for a wrong number of arguments, and what the name server raises.
    """
    command = COMMANDS[cmd]
    if not command.least <= len(args) <= command.most:
        raise ValueError(f"usage: fastpyro nsc {cmd} {command.usage}".rstrip())
    if cmd == "removematching" and not yes and not _is_sure():
        print("Nothing removed")
        return 0
    return command.action(namesrv, args) or 0


def _ping(namesrv: Any, args: list[str]) -> None:
    namesrv.ping()
    print("Name server ping ok.")


def _list(namesrv: Any, args: list[str]) -> None:
    title = f"- prefix '{on_one_line(args[0])}'" if args else ""
    _print_listing(namesrv.list(prefix=args[0] if args else None, return_metadata=True), title)


def _list_matching(namesrv: Any, args: list[str]) -> None:
    _print_listing(namesrv.list(regex=args[0], return_metadata=True), f"- regex '{on_one_line(args[0])}'")


def _lookup(namesrv: Any, args: list[str]) -> None:
    uri, metadata = namesrv.lookup(args[0], return_metadata=True)
    print(on_one_line(str(uri)))
    if metadata:
        print(f"metadata: {_tags(metadata)}")


def _register(namesrv: Any, args: list[str]) -> None:
    namesrv.register(args[0], args[1], safe=True)
    print(f"Registered {on_one_line(args[0])}")


def _remove(namesrv: Any, args: list[str]) -> int:
    if namesrv.remove(args[0]):
        print(f"Removed {on_one_line(args[0])}")
        return 0
    print("Nothing removed")
    return 1


def _remove_matching(namesrv: Any, args: list[str]) -> None:
    print(f"{namesrv.remove(regex=args[0])} items removed.")


def _is_sure() -> bool:
    try:
        answer = input("Potentially removing lots of items from the Name server. Are you sure (y/n)?")
    except EOFError:
        return False
    return answer.strip() in ("y", "Y")


def _set_metadata(namesrv: Any, args: list[str]) -> None:
    namesrv.set_metadata(args[0], args[1:])
    print("Metadata updated" if args[1:] else "Metadata cleared")


def _yplookup_all(namesrv: Any, args: list[str]) -> None:
    _print_listing(namesrv.yplookup(meta_all=args, return_metadata=True), "- searched by metadata")


def _yplookup_any(namesrv: Any, args: list[str]) -> None:
    _print_listing(namesrv.yplookup(meta_any=args, return_metadata=True), "- searched by metadata")


def _print_listing(found: dict[str, tuple[str, set[str]]], title: str = "") -> None:
    print(f"--------START LIST {title}".rstrip())
    for name, (uri, metadata) in sorted(found.items()):
        print(f"{on_one_line(name)} --> {on_one_line(uri)}")
        if metadata:
            print(f"    metadata: {_tags(metadata)}")
    print(f"--------END LIST {title}".rstrip())


def _tags(metadata: set[str]) -> str:
    return ", ".join(on_one_line(tag) for tag in sorted(metadata))


class Command(NamedTuple):
    """A command of ``nsc``: what it does, its arguments' usage and how many there may be."""

    action: Callable[[Any, list[str]], int | None]
    usage: str = ""
    least: int = 0
    most: int = 0


ANY_NUMBER = 1000

COMMANDS = {
    "ping": Command(_ping),
    "list": Command(_list, "[PREFIX]", 0, 1),
    "listmatching": Command(_list_matching, "REGEX", 1, 1),
    "lookup": Command(_lookup, "NAME", 1, 1),
    "register": Command(_register, "NAME URI", 2, 2),
    "remove": Command(_remove, "NAME", 1, 1),
    "removematching": Command(_remove_matching, "REGEX", 1, 1),
    "setmeta": Command(_set_metadata, "NAME [TAG…]", 1, ANY_NUMBER),
    "yplookup_all": Command(_yplookup_all, "TAG…", 1, ANY_NUMBER),
    "yplookup_any": Command(_yplookup_any, "TAG…", 1, ANY_NUMBER),
}
