"""Run a server with the object "test.echoserver", which returns what it is sent, for tests."""

from __future__ import annotations

import argparse
import contextlib

__all__ = ["EPILOG", "add_arguments", "run"]

EPILOG = "Try: fastpyro call URI echo hello"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("-H", "--host", default="localhost", help="address to listen on (default: %(default)s)")
    parser.add_argument("-p", "--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("-u", "--unixsocket", metavar="PATH", help="listen on a Unix socket instead")
    parser.add_argument("-n", "--naming", action="store_true", help="register the object in the name server")
    parser.add_argument("-N", "--nameserver", action="store_true", help="run a name server as well, and register in it")
    parser.add_argument("-v", "--verbose", action="store_true", help="print each call")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing")


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes, or somebody calls the object's shutdown."""
    from fastpyro.cli.signals import stop_on_signals
    from fastpyro.echo import serve_echo

    stop_on_signals()
    with contextlib.suppress(KeyboardInterrupt):  # before the loop, or after it
        serve_echo(
            options.host,
            options.port,
            options.unixsocket,
            naming=options.naming,
            nameserver=options.nameserver,
            verbose=options.verbose,
            quiet=options.quiet and not options.verbose,
        )
    return 0
