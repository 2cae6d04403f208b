"""``fastpyro ns``: run a name server until it is stopped."""

from __future__ import annotations

import argparse
import os

from fastpyro.cli.signals import terminate_like_interrupt
from fastpyro.config import config

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--host", help=f"address to listen on ({config.NS_HOST})")
    parser.add_argument("-p", "--port", type=int, help=f"port to listen on ({config.NS_PORT}); 0: any free one")
    parser.add_argument("-u", "--unixsocket", help="path of a Unix socket to listen on instead")
    parser.add_argument(
        "-s",
        "--storage",
        help="where to keep names: memory, or sql:FILE (a file of yours, so that a restart loses nothing)",
    )
    parser.add_argument("-b", "--broadcast", action="store_true", help="answer programs that look for it by broadcast")
    parser.add_argument("--bchost", help="address of the broadcast responder")
    parser.add_argument("--bcport", type=int, help=f"UDP port of the broadcast responder ({config.NS_BCPORT})")
    parser.add_argument("--nathost", help="host to publish instead, behind a forwarding router")
    parser.add_argument("--natport", type=int, help="port to publish instead")


def default_storage(port: int) -> str:
    """Return the file that a name server on a port keeps its names in when nothing else is said."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return "sql:" + os.path.join(state, "fastpyro", f"names-{port}.sqlite")


def run(options: argparse.Namespace) -> int:
    from fastpyro.naming import start_ns_loop

    terminate_like_interrupt()
    port = config.NS_PORT if options.port is None else options.port
    storage = options.storage
    if storage is None:
        # A port that changes with each start, or a Unix socket, has no names of yesterday.
        storage = default_storage(port) if port and not options.unixsocket else "memory"
    start_ns_loop(
        options.host,
        port,
        options.broadcast,
        options.bchost,
        options.bcport,
        options.unixsocket,
        options.nathost,
        options.natport,
        storage,
    )
    return 0
