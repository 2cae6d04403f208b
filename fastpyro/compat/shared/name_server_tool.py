"""The command that runs a name server, with the peers' options and lines."""

from __future__ import annotations

import argparse

from fastpyro.naming.start import start_ns_loop

__all__ = ["run_name_server"]


def run_name_server(arguments: list[str] | None, dbm: bool) -> None:
    """Run a name server until Ctrl-C. Arguments: of the command (None: of this process); ``dbm``: that storage exists."""
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
    if dbm:
        parser.add_argument("-k", "--key", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
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
        hmac=getattr(options, "key", None),
    )
