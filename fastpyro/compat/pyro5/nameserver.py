"""Pyro5.nameserver: name servers, and the command that runs one."""

from __future__ import annotations

from typing import Any

from fastpyro.compat.shared.name_server_tool import run_name_server
from fastpyro.locate import lookup, yplookup
from fastpyro.naming import start
from fastpyro.naming.broadcast import BroadcastServer
from fastpyro.naming.cleaner import AutoCleaner
from fastpyro.naming.name_server import NameServer
from fastpyro.naming.start import NameServerDaemon
from fastpyro.naming.storage import MemoryStorage, SqlStorage

from . import client as client  # what a daemon makes proxies of

__all__ = [
    "AutoCleaner",
    "BroadcastServer",
    "MemoryStorage",
    "NameServer",
    "NameServerDaemon",
    "SqlStorage",
    "lookup",
    "main",
    "start_ns",
    "start_ns_loop",
    "yplookup",
]


def start_ns(
    host: str | None = None, port: int | None = None, enableBroadcast: bool = True, *rest: Any, **keywords: Any
) -> Any:
    """Make a name server; see fastpyro.start_ns. Broadcast is answered unless it is switched off."""
    return start.start_ns(host, port, enableBroadcast, *rest, **keywords)


def start_ns_loop(
    host: str | None = None, port: int | None = None, enableBroadcast: bool = True, *rest: Any, **keywords: Any
) -> None:
    """Run a name server; see fastpyro.start_ns_loop. Broadcast is answered unless it is switched off."""
    start.start_ns_loop(host, port, enableBroadcast, *rest, **keywords)


def main(args: list[str] | None = None) -> None:
    """Run a name server as the command line says."""
    run_name_server(args, dbm=False)


if __name__ == "__main__":
    main()
