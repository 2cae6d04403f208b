"""Pyro5.nameserver: name servers, and the command that runs one."""

from __future__ import annotations

import argparse
from typing import Any

from fastpyro.client.locate import lookup, yplookup
from fastpyro.compat.shared.module_names import also_there
from fastpyro.compat.shared.name_server_loop import serve
from fastpyro.compat.shared.name_storages import MemoryStorage, PeerNameServer, SqlStorage, use_them
from fastpyro.naming import start
from fastpyro.naming.broadcast import BroadcastServer
from fastpyro.naming.cleaner import AutoCleaner
from fastpyro.naming.start import NameServerDaemon
from fastpyro.server.exposure import expose

from . import client as client  # what a daemon makes proxies of
from .core import URI

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

__getattr__ = also_there(
    __name__,
    "core errors server socketutil config errors.NamingError errors.ProtocolError errors.PyroError",
    "contextlib logging re socket sqlite3 sys threading time warnings",
)


@expose
class NameServer(PeerNameServer):
    """fastpyro's name server under Pyro5's name."""


use_them(NameServer)


def start_ns(
    host: str | None = None, port: int | None = None, enableBroadcast: bool = True, *rest: Any, **keywords: Any
) -> Any:
    """Make a name server; see fastpyro.start_ns. Broadcast is answered unless it is switched off."""
    uri, *others = start.start_ns(host, port, enableBroadcast, *rest, **keywords)
    return URI(uri), *others


def start_ns_loop(
    host: str | None = None, port: int | None = None, enableBroadcast: bool = True, *rest: Any, **keywords: Any
) -> None:
    """Run a name server until Ctrl-C; the arguments are those of ``start_ns``."""
    serve(*start_ns(host, port, enableBroadcast, *rest, **keywords))


def main(args: list[str] | None = None) -> None:
    """Run a name server until Ctrl-C, as the command line says (None: that of this process)."""
    parser = argparse.ArgumentParser(description="Pyro name server command line launcher.")
    parser.add_argument("-n", "--host", help="hostname to bind server on")
    parser.add_argument("-p", "--port", type=int, help="port to bind server on (0=random)")
    parser.add_argument("-u", "--unixsocket", help="Unix domain socket name to bind server on")
    parser.add_argument("-s", "--storage", default="memory", help="Storage system to use (memory, sql:file)")
    parser.add_argument("--bchost", help='hostname to bind broadcast server on (default is "")')
    parser.add_argument("--bcport", type=int, help="port to bind broadcast server on (0=random)")
    parser.add_argument("--nathost", help="external hostname in case of NAT")
    parser.add_argument("--natport", type=int, help="external port in case of NAT")
    parser.add_argument("-x", "--nobc", action="store_true", help="don't start a broadcast server")
    options = parser.parse_args(args)
    start_ns_loop(
        options.host,
        options.port,
        not options.nobc,
        options.bchost,
        options.bcport,
        options.unixsocket,
        options.nathost,
        options.natport,
        options.storage,
    )


if __name__ == "__main__":
    main()
