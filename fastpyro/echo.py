"""An object that returns what it is sent, and a server for it: to try a connection, and to test clients against."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fastpyro._foreign_text import shown
from fastpyro.config import config
from fastpyro.server.exposure import expose, oneway
from fastpyro.server.stop_signals import StopSignals

if TYPE_CHECKING:
    from fastpyro.client.proxy import Proxy
    from fastpyro.server.daemon import Daemon
    from fastpyro.uri import URI

__all__ = ["OBJECT_NAME", "EchoServer", "serve_echo"]

OBJECT_NAME = "test.echoserver"
"""Id of the object, and its name in the name server."""

SLOW_SECONDS = 5.0


@expose
class EchoServer:
    """Methods that return, raise, stream and dawdle. With ``verbose`` each call is printed."""

    def __init__(self, verbose: bool = False) -> None:
        self._verbose = verbose
        self._stopping = threading.Event()

    def _say(self, text: str) -> None:
        if self._verbose:
            print(time.asctime(), "-", text.encode("ascii", "backslashreplace").decode(), flush=True)

    def echo(self, message: Any) -> Any:
        """Return the message."""
        self._say(f"echo: {shown(message)}")
        return message

    def error(self) -> None:
        """Raise a ValueError."""
        self._say("error: generating exception")
        raise ValueError("this is the generated error from echoserver echo() method")

    def error_with_text(self) -> None:
        """Raise a ValueError with another text."""
        self._say("error_with_text: generating exception")
        raise ValueError("the message of the error")

    @oneway
    def oneway_echo(self, message: Any) -> None:
        """Take a message; nobody waits for it."""
        self._say(f"oneway_echo: {shown(message)}")

    def slow(self) -> str:
        """Return a text after some seconds."""
        self._say("slow: waiting a bit...")
        self._stopping.wait(SLOW_SECONDS)
        self._say("slow: returning result")
        return "Finally, an answer!"

    @oneway
    def oneway_slow(self) -> None:
        """Wait some seconds; nobody waits for it."""
        self._say("oneway_slow: waiting a bit...")
        self._stopping.wait(SLOW_SECONDS)
        self._say("oneway_slow: done")

    def generator(self) -> Iterator[str]:
        """Return a stream of three texts."""
        yield "one"
        yield "two"
        yield "three"

    def nan(self) -> float:
        """Return the float that is not a number."""
        return float("nan")

    def inf(self) -> float:
        """Return the infinite float."""
        return float("inf")

    def _private(self) -> str:
        """Not callable: private."""
        return "should not be allowed"

    def __dunder__(self) -> str:
        """Callable: a special name that is exposed."""
        return "should be allowed (dunder)"

    def shutdown(self) -> None:
        """End the server's loop, after this call is answered."""
        self._say("shutting down")
        self._stopping.set()
        daemon: Daemon | None = getattr(self, "_pyroDaemon", None)
        if daemon is not None:
            daemon.shutdown()

    @property
    def verbose(self) -> bool:
        """Whether each call is printed."""
        return self._verbose

    @verbose.setter
    def verbose(self, onoff: bool) -> None:
        self._verbose = bool(onoff)


def serve_echo(
    host: str | None = None,
    port: int = 0,
    unixsocket: str | None = None,
    *,
    naming: bool = False,
    nameserver: bool = False,
    verbose: bool = False,
    quiet: bool = False,
) -> None:
    """Serve an EchoServer until Ctrl-C or until its ``shutdown`` is called.

    Arguments: ``host`` and ``port``, or ``unixsocket``; ``naming``: register in the name server; ``nameserver``: run a name
    server in this process as well, with its names in memory, and register in it; ``verbose``: print each call;
    ``quiet``: print nothing. Raises OSError when an address cannot be listened on, NamingError without name server.
    """

    def say(text: str) -> None:
        if not quiet:
            print(text, flush=True)

    with contextlib.ExitStack() as stack:
        name_server_uri = stack.enter_context(_name_server(host)) if nameserver else None
        daemon = stack.enter_context(_multiplexed_daemon(host, port, unixsocket))
        uri = daemon.register(EchoServer(verbose), OBJECT_NAME)
        if naming or nameserver:
            proxy = stack.enter_context(_registered(name_server_uri, uri))
            say(f"name server = {proxy._pyroUri}")
            say(f"name = {OBJECT_NAME}")
        say(f"uri = {uri}")
        stack.enter_context(StopSignals(daemon)).run(daemon.requestLoop)
    say("echo server shut down.")


def _multiplexed_daemon(host: str | None, port: int, unixsocket: str | None) -> Daemon:
    from fastpyro.server.daemon import Daemon

    before = config.SERVERTYPE
    config.SERVERTYPE = "multiplex"
    try:
        return Daemon(host, port, unixsocket)
    finally:
        config.SERVERTYPE = before


@contextlib.contextmanager
def _name_server(host: str | None) -> Iterator[URI]:
    """Run a name server in a thread, as long as the context lasts."""
    from fastpyro.naming.start import start_ns

    uri, daemon, _ = start_ns(host)
    thread = threading.Thread(target=daemon.requestLoop, name="fastpyro-name-server", daemon=True)
    thread.start()
    try:
        yield uri
    finally:
        daemon.shutdown()
        thread.join()
        daemon.close()


@contextlib.contextmanager
def _registered(name_server_uri: URI | None, uri: URI) -> Iterator[Proxy]:
    """Register the object, as long as the context lasts."""
    from fastpyro.client.locate import locate_ns
    from fastpyro.errors import PyroError

    place = (name_server_uri.host or "", name_server_uri.port) if name_server_uri else ("", None)
    with locate_ns(*place) as name_server:
        name_server.register(OBJECT_NAME, uri)
        try:
            yield name_server
        finally:
            with contextlib.suppress(PyroError):  # it may have gone before us
                name_server._pyroRelease()
                name_server.remove(OBJECT_NAME)
