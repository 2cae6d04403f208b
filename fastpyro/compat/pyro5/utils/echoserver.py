"""Pyro5.utils.echoserver: an object to try things with, and the command that serves it."""

from __future__ import annotations

import argparse
from typing import Any

import fastpyro.echo
from fastpyro.client.locate import locate_ns
from fastpyro.config import config
from fastpyro.constants import NAMESERVER_NAME
from fastpyro.echo import OBJECT_NAME
from fastpyro.naming.start import start_ns

from ..server import Daemon, expose

__all__ = ["EchoServer", "main"]


@expose
class EchoServer(fastpyro.echo.EchoServer):
    """fastpyro's echo object, which tells a loop of the program's own when it was told to stop."""

    @property
    def _must_shutdown(self) -> bool:
        return self._stopping.is_set()


def main(args: list[str] | None = None, returnWithoutLooping: bool = False) -> tuple[Any, Any, Any] | None:
    """Run an echo server, as the command line says (None: that of this process), until it is told to stop.

    With ``returnWithoutLooping`` only make it, and return (daemon, echo object, uri).
    """
    options = _options(args)
    config.SERVERTYPE = "multiplex"

    def say(text: str) -> None:
        if not options.quiet:
            print(text, flush=True)

    say("Starting Pyro's built-in test echo server.")
    name_server: Any = None
    if options.nameserver:
        _, name_server, _ = start_ns(options.host, 0)
    daemon = Daemon(options.host, options.port, options.unixsocket)
    echo = EchoServer(options.verbose)
    uri = daemon.register(echo, OBJECT_NAME)
    place = "not using a name server."
    if name_server is not None:
        daemon.combine(name_server)
        name_server.nameserver.register(OBJECT_NAME, uri)
        place = f"using name server at {name_server.uriFor(NAMESERVER_NAME)}\nnot using a broadcast server"
    elif options.naming:
        with locate_ns() as proxy:
            proxy.register(OBJECT_NAME, uri)
            place = f"using name server at {proxy._pyroUri}"
    if options.verbose:
        say(place)
    say(f"object name: {OBJECT_NAME}")
    say(f"echo uri: {uri}")
    say("echoserver running.")
    if returnWithoutLooping:
        return daemon, echo, uri
    try:
        daemon.requestLoop()
    finally:
        daemon.close()
        if name_server is not None:
            name_server.close()
    return None


def _options(args: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pyro test echo/nameserver command line launcher.")
    parser.add_argument("-H", "--host", default="localhost", help="hostname to bind server on (default=%(default)s)")
    parser.add_argument("-p", "--port", type=int, default=0, help="port to bind server on")
    parser.add_argument("-u", "--unixsocket", help="Unix domain socket name to bind server on")
    parser.add_argument("-n", "--naming", action="store_true", help="register with nameserver")
    parser.add_argument("-N", "--nameserver", action="store_true", help="also start a nameserver")
    parser.add_argument("-v", "--verbose", action="store_true", help="verbose output")
    parser.add_argument("-q", "--quiet", action="store_true", help="don't output anything")
    options = parser.parse_args(args)
    options.quiet = options.quiet and not options.verbose
    return options


if __name__ == "__main__":
    main()
