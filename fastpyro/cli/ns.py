"""Run a name server until Ctrl-C. It keeps the names in a file, so that a restart loses nothing."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

__all__ = ["EPILOG", "add_arguments", "default_storage", "run"]

EPILOG = (
    "Names are kept in $XDG_STATE_HOME/fastpyro/names-PORT.sqlite (usually below ~/.local/state), "
    "in memory when the port is 0."
)

LONGEST_FILE_NAME = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("-n", "--host", help="address to listen on (default: NS_HOST)")
    parser.add_argument("-p", "--port", type=int, help="port to listen on (default: NS_PORT; 0: a free one)")
    parser.add_argument("-u", "--unixsocket", metavar="PATH", help="listen on a Unix socket instead")
    parser.add_argument("-s", "--storage", help="'memory' or 'sql:FILE' (default: see below)")
    parser.add_argument("-b", "--broadcast", action="store_true", help="answer programs that look for us by broadcast")
    parser.add_argument("--bchost", help="address on which to answer them (default: NS_BCHOST, or all)")
    parser.add_argument("--bcport", type=int, help="UDP port on which to answer them (default: NS_BCPORT)")
    parser.add_argument("--nathost", help="host to publish, when a router forwards to us")
    parser.add_argument("--natport", type=int, help="port to publish, with --nathost")
    parser.add_argument("-x", "--nobc", dest="broadcast", action="store_false", help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes. Raises OSError when the address cannot be listened on."""
    from fastpyro.cli.signals import stop_on_signals
    from fastpyro.config import config
    from fastpyro.naming.start import start_ns_loop

    stop_on_signals()
    port = config.NS_PORT if options.port is None else options.port
    storage = options.storage or default_storage(port, options.unixsocket, os.environ)
    try:
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
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        place = options.unixsocket or f"port {port}"
        raise OSError(
            f"{place} is taken; perhaps a name server runs already (try: fastpyro nsc ping), "
            f"else choose another one with --port ({error})"
        ) from error
    except KeyboardInterrupt:
        pass  # it came before the loop, or after it; the name server is closed
    return 0


def default_storage(port: int, unixsocket: str | None, environment: Mapping[str, str]) -> str:
    """Return the storage of a name server at this place; the folder is made.

    Raises OSError, with a way out, when the folder cannot be made.
    """
    if unixsocket:
        place = "unix-" + quote(os.path.abspath(unixsocket), safe="")[-LONGEST_FILE_NAME:]
    elif port:
        place = str(port)
    else:
        return "memory"  # the next one gets another port, and would not find these names anyway
    base = environment.get("XDG_STATE_HOME", "")
    state = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "state"
    folder = state / "fastpyro"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"cannot make the folder for the names: {error}; choose a place with --storage sql:FILE"
        ) from error
    return f"sql:{folder / f'names-{place}.sqlite'}"
