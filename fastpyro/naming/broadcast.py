"""Answers the question "where is a name server?", which programs broadcast over UDP.

One datagram, ``GET_NSURI``, is answered with the URI as text; everything else is ignored. There is no proof that an
answer is honest: a client believes it at its own risk, and the answering is off unless asked for. An answer is longer than
the question, and who asks may lie about its address: each address gets a few answers in ten seconds, so that nobody is
flooded by way of us, and each network a share of them all, so that one who lies leaves some to others.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fastpyro._lazy_logging import logger
from fastpyro.config import config
from fastpyro.transport.addresses import host_text, port_number
from fastpyro.transport.sockets import host_port_text
from fastpyro.uri import URI

if TYPE_CHECKING:
    from typing import Self

__all__ = ["BroadcastServer"]

log = logger("fastpyro.naming")

QUESTION = b"GET_NSURI"
LONGEST_ANSWER = 100
"""Bytes; those who ask receive no more."""


WINDOW_SECONDS = 1.0
"""A short one: who asks again, because somebody else asked under his address, is answered soon."""
MOST_ANSWERS_TO_ONE = 3
"""Answers to one address in a window, 300 bytes; programs that start together ask again."""
MOST_ANSWERS = 500
"""Answers to all addresses in a window."""
REST_SECONDS = 0.1
"""After a failure of the socket itself."""


class _AnswerBudget:
    """Counts the answers to each address and each network, within windows of time.

    Whoever asks under the addresses of others has a network of them, small or big, and takes its share only.
    """

    def __init__(self) -> None:
        self._begun = 0.0
        self._to: dict[bytes, int] = {}

    def take(self, host: str) -> bool:
        """Return whether an address may be answered once more."""
        now = time.monotonic()
        if now - self._begun >= WINDOW_SECONDS:
            self._begun = now
            self._to.clear()
        address = _packed(host)
        unit = len(address) // 4
        shares = {
            address: MOST_ANSWERS_TO_ONE,
            address[: 2 * unit if unit > 1 else 3]: MOST_ANSWERS // 4,  # /24, or /64
            address[:unit]: MOST_ANSWERS // 2,  # /8, or /32
            b"": MOST_ANSWERS,
        }
        if any(self._to.get(network, 0) >= most for network, most in shares.items()):
            return False
        for network in shares:
            self._to[network] = self._to.get(network, 0) + 1
        return True


def _packed(host: str) -> bytes:
    """Return an address in its 4 or 16 bytes; of an IPv4 one that came as IPv6 its 4."""
    if ":" not in host:
        return socket.inet_pton(socket.AF_INET, host)
    address = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return address[12:] if address.startswith(bytes(10) + b"\xff\xff") else address


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
        host = host_text(bchost or config.NS_BCHOST or "", "bchost")
        port = port_number(config.NS_BCPORT if bcport is None else bcport, "bcport")
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
        self._budget = _AnswerBudget()
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
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            selector.register(self._wake_receiver, selectors.EVENT_READ)
            while self.running:
                try:
                    ready = {each.fileobj for each, _ in selector.select()}
                    if self._wake_receiver in ready:
                        return
                    self.processRequest()
                except Exception:  # whatever one datagram does, the next one is answered
                    log.exception("answering a question for the name server failed")
                    time.sleep(REST_SECONDS)

    def processRequest(self) -> None:
        """Take one datagram, if there is one, and answer it if it asks for the name server. Never raises."""
        try:
            data, address = self.sock.recvfrom(LONGEST_ANSWER)
        except OSError:
            return  # nothing there, or closed
        if data != QUESTION:
            log.debug(
                "ignoring a datagram of %d bytes from %r that is no question for a name server", len(data), address
            )
            return
        if not self._budget.take(str(address[0])):
            log.debug("not answering %r: it was answered too often already", address)
            return
        try:
            self.sock.sendto(str(self._uri_for(address)).encode("iso-8859-1", "replace"), address)
        except Exception as error:
            log.info("cannot answer %r: %s", address, error)

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
