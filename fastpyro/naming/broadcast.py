"""Answers the question "where is a name server?", which programs broadcast over UDP.

One datagram, ``GET_NSURI``, is answered with the URI as text; everything else is ignored. There is no proof that an
answer is honest: a client believes it at its own risk, and the answering is off unless asked for.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterable

from fastpyro.config import config
from fastpyro.lazy_logging import logger
from fastpyro.sockets import host_port_text
from fastpyro.uri import URI

__all__ = ["BroadcastServer"]

log = logger("fastpyro.naming")

QUESTION = b"GET_NSURI"
LONGEST_ANSWER = 100
"""Bytes; those who ask receive no more."""


class BroadcastServer:
    """Answers for one name server.

    Arguments: ``nsUri``, the URI to tell; ``bchost``, the address to listen on (None: ``config.NS_BCHOST``, then all
    interfaces); ``bcport``, the UDP port (None: ``config.NS_BCPORT``; 0: the system chooses).
    Raises OSError when the address cannot be listened on, ValueError for a URI that does not fit in an answer.

    Run it with ``runInThread()``, give it to a multiplexed daemon's ``combine()``, or watch ``sockets`` in a loop and call
    ``processRequest()``. A context manager that closes itself.
    """

    def __init__(
        self, nsUri: str | URI, bchost: str | None = None, bcport: int | None = None, ipv6: bool = False
    ) -> None:
        self.nsUri = URI(nsUri)
        if len(str(self.nsUri).encode()) > LONGEST_ANSWER:
            raise ValueError(f"the uri {self.nsUri} does not fit in an answer of {LONGEST_ANSWER} bytes")
        host = bchost or config.NS_BCHOST or ""
        port = config.NS_BCPORT if bcport is None else bcport
        self.sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            self.sock.bind((host, port))
            self.sock.setblocking(False)
        except BaseException:
            self.sock.close()
            raise
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self.running = True
        self._thread: threading.Thread | None = None
        self.locationStr = host_port_text(*self.sock.getsockname()[:2])
        self.transportServer = self

    def getPort(self) -> int:
        """Return the UDP port."""
        return int(self.sock.getsockname()[1])

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when somebody asks."""
        return self.sock.fileno()

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets that a loop must watch."""
        return [self.sock] if self.running else []

    def serve_ready(self, descriptors: Iterable[int]) -> None:
        """Answer, if our socket is among the readable ones."""
        if self.running and self.sock.fileno() in descriptors:
            self.processRequest()

    def runInThread(self) -> threading.Thread:
        """Answer in a background thread until ``close()``; returns the thread."""
        self._thread = threading.Thread(target=self._loop, name="fastpyro-broadcast", daemon=True)
        self._thread.start()
        return self._thread

    def _loop(self) -> None:
        while self.running:
            readable = select.select([self.sock, self._wake_receiver], [], [])[0]
            if self._wake_receiver in readable:
                return
            self.processRequest()

    def processRequest(self) -> None:
        """Take one datagram, if there is one, and answer it if it asks for the name server."""
        try:
            data, address = self.sock.recvfrom(LONGEST_ANSWER)
        except OSError:
            return  # nothing there, or closed
        if data != QUESTION:
            log.info(
                "ignoring a datagram of %d bytes from %s that is no question for a name server", len(data), address
            )
            return
        try:
            self.sock.sendto(str(self._uri_for(address)).encode("iso-8859-1", "replace"), address)
        except OSError as error:
            log.warning("cannot answer %s: %s", address, error)

    def _uri_for(self, address: tuple[object, ...]) -> URI:
        # A name server on all interfaces has no address of its own: tell the one that reaches whoever asks.
        if self.nsUri.host not in ("0.0.0.0", "::"):
            return self.nsUri
        uri = URI(self.nsUri)
        with socket.socket(self.sock.family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            uri.host = str(probe.getsockname()[0])
        return uri

    def close(self) -> None:
        """Stop answering, and end the thread if there is one. May be called again."""
        if not self.running:
            return
        self.running = False
        self._wake_sender.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._wake_receiver.close()
        self.sock.close()

    def __enter__(self) -> BroadcastServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
