"""What the name server tools of both Pyros do and print, command by command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from fastpyro._foreign_text import on_one_line

__all__ = ["Commands", "run"]


class Command(NamedTuple):
    """A command: what it does, how many arguments it needs and takes, and what is said when there are others."""

    action: Callable[[Any, list[str]], None]
    least: int = 0
    most: int = sys.maxsize
    complaint: str = ""


class Commands:
    """The commands.

    Arguments: ``show_tags``, which makes a text of sorted tags; ``of_setmeta``, the complaint of that command.
    Attributes: ``by_name``, a dict of ``Command``.
    """

    def __init__(self, show_tags: Callable[[list[str]], str], of_setmeta: str) -> None:
        self._show_tags = show_tags
        tags = 1, sys.maxsize, "requires at least one metadata tag argument"
        pattern = 1, 1, "requires one argument: pattern"
        name = 1, 1, "requires one argument: name"
        self.by_name = {
            "list": Command(self._list),
            "lookup": Command(self._lookup, *name),
            "register": Command(_register, 2, 2, "requires two arguments: name uri"),
            "remove": Command(_remove, *name),
            "removematching": Command(_remove_matching, *pattern),
            "listmatching": Command(self._list_matching, *pattern),
            "listmeta_all": Command(self._list_with_all, *tags),
            "listmeta_any": Command(self._list_with_any, *tags),
            "yplookup_all": Command(self._look_up_all, *tags),
            "yplookup_any": Command(self._look_up_any, *tags),
            "setmeta": Command(_set_metadata, 1, sys.maxsize, of_setmeta),
            "ping": Command(_ping),
        }

    def _list(self, nameserver: Any, arguments: list[str]) -> None:
        if arguments:
            found = nameserver.list(prefix=arguments[0], return_metadata=True)
            self._print_listing(found, f"- prefix '{on_one_line(arguments[0])}'")
        else:
            self._print_listing(nameserver.list(return_metadata=True))

    def _list_matching(self, nameserver: Any, arguments: list[str]) -> None:
        found = nameserver.list(regex=arguments[0], return_metadata=True)
        self._print_listing(found, f"- regex '{on_one_line(arguments[0])}'")

    def _list_with_all(self, nameserver: Any, arguments: list[str]) -> None:
        self._print_listing(nameserver.list(metadata_all=arguments, return_metadata=True), SEARCHED)

    def _list_with_any(self, nameserver: Any, arguments: list[str]) -> None:
        self._print_listing(nameserver.list(metadata_any=arguments, return_metadata=True), SEARCHED)

    def _look_up_all(self, nameserver: Any, arguments: list[str]) -> None:
        self._print_listing(nameserver.yplookup(meta_all=arguments, return_metadata=True), SEARCHED)

    def _look_up_any(self, nameserver: Any, arguments: list[str]) -> None:
        self._print_listing(nameserver.yplookup(meta_any=arguments, return_metadata=True), SEARCHED)

    def _lookup(self, nameserver: Any, arguments: list[str]) -> None:
        uri, metadata = nameserver.lookup(arguments[0], return_metadata=True)
        print(on_one_line(str(uri)))
        if metadata:
            print(f"metadata: {self._show_tags(sorted(metadata))}")

    def _print_listing(self, found: dict[str, Any], title: str = "") -> None:
        print(f"--------START LIST {title}")
        for name, (uri, metadata) in sorted(found.items()):
            print(f"{on_one_line(name)} --> {on_one_line(uri)}")
            if metadata:
                print(f"    metadata: {self._show_tags(sorted(metadata))}")
        print(f"--------END LIST {title}")


SEARCHED = " - searched by metadata"


def run(commands: dict[str, Command], name: str, nameserver: Any, arguments: list[str]) -> None:
    """Run the command of a name with a name server's proxy, and print what comes of it.

    Raises SystemExit when the number of arguments is wrong, and what goes wrong after printing it.
    """
    try:
        command = commands[name]
        if not command.least <= len(arguments) <= command.most:
            raise SystemExit(command.complaint)
        command.action(nameserver, arguments)
    except Exception as error:
        print(f"Error: {type(error).__name__} - {on_one_line(str(error))}", flush=True)
        raise


def _ping(nameserver: Any, arguments: list[str]) -> None:
    nameserver.ping()
    print("Name server ping ok.")


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
