"""A server for trying things out: it returns what it gets, raises, streams, and is slow on request."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

from fastpyro.daemon import Daemon
from fastpyro.exposure import expose, oneway
from fastpyro.uri import URI

__all__ = ["ECHO_NAME", "EchoServer", "start_echo"]

ECHO_NAME = "test.echoserver"
SLOW_SECONDS = 5.0


@expose
class EchoServer:
    """The echo object. Attribute ``verbose``: print what arrives."""

    def __init__(self, daemon: Daemon | None = None, verbose: bool = False) -> None:
        self._daemon = daemon
        self._verbose = verbose

    def _say(self, text: str) -> None:
        if self._verbose:
            print(text)
            sys.stdout.flush()

    def echo(self, message: Any) -> Any:
        """Return the message."""
        self._say(f"echo: {message!r}")
        return message

    def error(self) -> None:
        """Raise a ValueError."""
        raise ValueError("this is the generated error from echoserver error() method")

    def error_with_text(self) -> None:
        """Raise a ValueError with a text that is not ASCII."""
        raise ValueError("the message of the error: é, €, ü")

    @oneway
    def oneway_echo(self, message: Any) -> None:
        """Print the message; oneway."""
        self._say(f"oneway_echo: {message!r}")

    def slow(self) -> str:
        """Return after five seconds."""
        time.sleep(SLOW_SECONDS)
        return "finally, an answer"

    @oneway
    def oneway_slow(self) -> None:
        """End after five seconds; oneway."""
        time.sleep(SLOW_SECONDS)

    def generator(self) -> Iterator[str]:
        """Return a stream of three words."""
        yield from ("one", "two", "three")

    def nan(self) -> float:
        """Return a float that is not a number."""
        return float("nan")

    def inf(self) -> float:
        """Return infinity."""
        return float("inf")

    def shutdown(self) -> None:
        """Stop the server."""
        self._say("shutting down")
        if self._daemon is not None:
            self._daemon.shutdown()

    @property
    def verbose(self) -> bool:
        return self._verbose

    @verbose.setter
    def verbose(self, verbose: bool) -> None:
        self._verbose = bool(verbose)


def start_echo(
    host: str | None = None, port: int = 0, unixsocket: str | None = None, verbose: bool = False
) -> tuple[Daemon, EchoServer, URI]:
    """Make a daemon with an echo object under the id "test.echoserver"; returns daemon, object and URI."""
    daemon = Daemon(host, port, unixsocket)
    echo = EchoServer(daemon, verbose)
    return daemon, echo, daemon.register(echo, ECHO_NAME)
