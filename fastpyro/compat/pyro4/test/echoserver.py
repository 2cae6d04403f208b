"""Pyro4.test.echoserver: an object to try things with, and the command that serves it."""

from __future__ import annotations

import contextlib
import optparse
import os
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import fastpyro.echo
from fastpyro.config import config

from ..core import Daemon, expose
from ..naming import locateNS, startNS

__all__ = ["EchoServer", "main"]


class Place(NamedTuple):
    """Where the name server is (None: the usual place), and a line about its responder to broadcast."""

    host: str | None
    port: int | None
    broadcast: str = ""


@expose
class EchoServer(fastpyro.echo.EchoServer):
    """fastpyro's echo object with Pyro4's text for its error."""

    def __init__(self, verbose: bool = False) -> None:
        super().__init__(verbose)

    @property
    def _must_shutdown(self) -> bool:
        return self._stopping.is_set()

    def error(self) -> None:
        """Raise a ValueError."""
        self._say("error: generating exception")
        raise ValueError("expected error from echoserver error() method")


def main(args: list[str] | None = None, returnWithoutLooping: bool = False) -> Any:
    """Run an echo server as the command line says (None: that of this process) until it is told to stop.

    Arguments: ``returnWithoutLooping``: only make it, and return (daemon, echo object, uri).
    Raises OSError when the address cannot be listened on, NamingError when there is no name server to register with.
    """
    options = _options(args)
    key = options.key or os.environ.get("PYRO_HMAC_KEY") or None

    def say(text: str) -> None:
        if not options.quiet:
            print(text, flush=True)

    say("Starting Pyro's built-in test echo server.")
    if not key:
        say("Warning: HMAC key not set. Anyone can connect to this server!")
    with contextlib.ExitStack() as stack:
        place = Place(None, None)
        if options.nameserver:
            place = stack.enter_context(_name_server(options.host, key))
        daemon = stack.enter_context(_multiplexed_daemon(options))
        daemon._pyroHmacKey = key
        echo = EchoServer(options.verbose)
        uri = daemon.register(echo, fastpyro.echo.OBJECT_NAME)
        if options.naming or options.nameserver:
            with locateNS(place.host, place.port, hmac_key=key) as name_server:
                name_server.register(fastpyro.echo.OBJECT_NAME, uri)
                if options.verbose:
                    say(f"using name server at {name_server._pyroUri}")
                    if options.nameserver:
                        say(place.broadcast)
        elif options.verbose:
            say("not using a name server.")
        say(f"object name: {fastpyro.echo.OBJECT_NAME}")
        say(f"echo uri: {uri}")
        say("echoserver running.")
        if returnWithoutLooping:
            stack.pop_all()
            return daemon, echo, uri
        daemon.requestLoop()
    return None


def _options(args: list[str] | None) -> Any:
    parser = optparse.OptionParser()
    parser.add_option("-H", "--host", default="localhost", help="hostname to bind server on (default=%default)")
    parser.add_option("-p", "--port", type="int", default=0, help="port to bind server on")
    parser.add_option("-u", "--unixsocket", help="Unix domain socket name to bind server on")
    parser.add_option("-n", "--naming", action="store_true", default=False, help="register with nameserver")
    parser.add_option("-N", "--nameserver", action="store_true", default=False, help="also start a nameserver")
    parser.add_option("-v", "--verbose", action="store_true", default=False, help="verbose output")
    parser.add_option("-q", "--quiet", action="store_true", default=False, help="don't output anything")
    parser.add_option("-k", "--key", help="the HMAC key to use (deprecated)")
    options, _ = parser.parse_args(args)
    if options.verbose:
        options.quiet = False
    return options


def _multiplexed_daemon(options: Any) -> Daemon:
    before = config.SERVERTYPE
    config.SERVERTYPE = "multiplex"
    try:
        return Daemon(options.host, options.port, options.unixsocket)
    finally:
        config.SERVERTYPE = before


@contextlib.contextmanager
def _name_server(host: str, key: str | None) -> Iterator[Place]:
    """Run a name server in a thread as long as the context lasts."""
    uri, daemon, responder = startNS(host, hmac=key)
    thread = threading.Thread(target=daemon.requestLoop, name="name-server", daemon=True)
    thread.start()
    if responder is not None:
        responder.runInThread()
    try:
        shown = "not using a broadcast server"
        if responder is not None:
            shown = f"using a broadcast server at {responder.locationStr}"
        yield Place(uri.host, uri.port, shown)
    finally:
        if responder is not None:
            responder.close()
        daemon.shutdown()
        thread.join()
        daemon.close()


if __name__ == "__main__":
    main()
