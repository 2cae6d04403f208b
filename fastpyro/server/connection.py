"""One client, as a daemon knows it: its channel, its session instances, the resources it holds.

This is what methods see as ``current_context.client`` and hooks get as ``connection``.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import weakref
from typing import Any

from fastpyro._foreign_text import shown
from fastpyro.constants import PROTOCOL_VERSION
from fastpyro.serializers.registry import Serializer
from fastpyro.server._connection import ConnectionCore
from fastpyro.server.complaints import Complaints
from fastpyro.transport.channel import Channel

__all__ = ["Connection"]


class Connection(ConnectionCore):
    """A connected client.

    Attributes: ``channel``; ``peer_address``, as the socket gives it; ``address``, the same without the port,
    one for all who come through Unix sockets; ``handshaken``, whether it was admitted;
    ``instances``, session objects by class; ``tracked_resources``, closed when the client goes; ``last_used``, monotonic
    seconds; ``calls_running``, how many of its requests are being served now; ``read_holds``, how many of them keep it to
    themselves, so that the next one waits; ``serial_calls``, whether it has used an object of its session, so that its
    requests are served one by one; ``accepted``, the ids of the serializers that it may
    use; ``lacks``, why the pickles are not among them although the daemon accepts them; ``serializer``, the one that it
    used last;
    ``attached``, whether it came connected, without a handshake; ``oneway_apart``, whether a slow oneway call leaves it
    free for the next call even on an object of its session; ``big_replies``, who is asked before a call begins whose reply
    is likely to be big, or None; ``homes``, who lets the thread that makes the first object of its session be its ``home``,
    or None; ``released``, whether it is over for the daemon; ``complaints``, what the log was told of
    it. A program may add attributes of its own, in `validateHandshake` for instance.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_origin",
        "_tracked_resources",
        "accepted",
        "address",
        "attached",
        "big_replies",
        "complaints",
        "homes",
        "lacks",
        "released",
        "serializer",
    )

    keep_open = False
    objectId: str | None = None
    timeout: float | None = None
    """Names that connections of Pyro's daemons have, with the values that they have there."""

    def __init__(self, channel: Channel, peer_address: Any, accepted: frozenset[int] = frozenset()) -> None:
        super().__init__(channel, peer_address)
        self.accepted = accepted
        self.address: Any = peer_address[0] if isinstance(peer_address, tuple) and peer_address else "local"
        self.lacks = ""
        self.attached = False
        self.big_replies: Any = None
        self.homes: Any = None
        self.complaints: Complaints | None = None
        self.released = False
        self._origin: Any = None
        self.serializer: Serializer | None = None
        self._tracked_resources: weakref.WeakSet[Any] | None = None

    @property
    def tracked_resources(self) -> weakref.WeakSet[Any]:
        if self._tracked_resources is None:
            self._tracked_resources = weakref.WeakSet()
        return self._tracked_resources

    @property
    def sock(self) -> socket.socket:
        """The client's socket, to ask it for names and options; reading or writing it breaks the conversation."""
        return self.channel.sock

    @property
    def origin(self) -> Any:
        """What stands for the client where each has a share: its certificate's subject, its address without the port, or
        the id of the user at the other end of a Unix socket. Many clients may share one."""
        if not self.handshaken:
            return self.address
        if self._origin is None:
            self._origin = self._find_origin()
        return self._origin

    def _find_origin(self) -> Any:
        try:
            certificate = self.getpeercert()
            if certificate and certificate.get("subject"):
                return "certificate", certificate["subject"]
            if isinstance(self.peer_address, tuple):
                return self.address
            credentials = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            return "user", int.from_bytes(credentials[4:8], sys.byteorder)
        except (OSError, ValueError, AttributeError):  # it has gone already, or the system does not tell
            return self.address

    @property
    def dialect(self) -> int:
        """The protocol version that the client speaks; until it has spoken, ours."""
        return self.channel.dialect or PROTOCOL_VERSION

    @property
    def pyroInstances(self) -> dict[type, Any]:
        return self.instances

    def getpeercert(self) -> dict[str, Any] | None:
        """Return the certificate that the client has shown (TLS), as ssl gives it; None without one."""
        return self.channel.getpeercert()

    def fileno(self) -> int:
        return self.channel.fileno()

    def close(self) -> None:
        """End the conversation. May be called from any thread."""
        self.channel.close()

    def release(self) -> None:
        """Close the channel, forget session instances and close the resources that the client held."""
        self.released = True  # first: what a call of it makes from now on is nobody's
        self.channel.close()
        # Those, too, that only a session object holds, and nobody after it.
        held = self._take_resources() if self._tracked_resources else []
        self.instances.clear()
        if held or self._tracked_resources:  # what has come since
            _close_each(held)
            self.close_resources()

    def close_resources(self) -> None:
        """Close the resources that were held for the client, each once."""
        _close_each(self._take_resources())

    def _take_resources(self) -> list[Any]:
        """Return the resources that nobody else has taken to close them."""
        taken: list[Any] = []
        resources = self._tracked_resources
        while resources:
            try:
                taken.append(resources.pop())
            except KeyError:
                break  # another thread has taken the last one
        return taken

    def __repr__(self) -> str:
        return f"<Connection from {shown(self.peer_address) if self.peer_address else 'a local client'}>"


def _close_each(resources: list[Any]) -> None:
    for resource in resources:
        with contextlib.suppress(Exception):  # one that cannot be closed must not keep the others open
            resource.close()
