"""Connections over a socket of the program's own, as Pyro's ``SocketConnection`` is one.

Connections that fastpyro makes are of classes of their own; `isinstance` says that they are such connections, too.
"""

from __future__ import annotations

import contextlib
import socket
import weakref
from typing import Any, Self

from fastpyro.compat.shared.socket_helpers import receive_data, send_data
from fastpyro.server.connection import Connection
from fastpyro.transport.channel import PlainChannel, PortableChannel
from fastpyro.transport.sockets import family_name

__all__ = ["SocketConnection"]


class _AlsoOurs(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return super().__instancecheck__(instance) or isinstance(instance, Connection | PlainChannel | PortableChannel)


class SocketConnection(metaclass=_AlsoOurs):
    """Sends and receives bytes over a connected socket.

    Arguments: ``sock``; ``objectId``, whatever the connection is for; ``keep_open``: closing it leaves the socket open.
    Attributes: these; ``pyroInstances``, a dict; ``tracked_resources``, closed with the connection.
    """

    def __init__(self, sock: socket.socket, objectId: str | None = None, keep_open: bool = False) -> None:
        self.sock = sock
        self.objectId = objectId
        self.keep_open = keep_open
        self.pyroInstances: dict[type, Any] = {}
        self.tracked_resources: weakref.WeakSet[Any] = weakref.WeakSet()

    @property
    def instances(self) -> dict[type, Any]:
        return self.pyroInstances

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def send(self, data: Any) -> None:
        """Send all bytes. Raises CommunicationError."""
        send_data(self.sock, data)

    def recv(self, size: int) -> Any:
        """Return so many bytes when all have come. Raises CommunicationError."""
        return receive_data(self.sock, size)

    def close(self) -> None:
        """Close the socket, unless it is to be kept open, and all tracked resources."""
        if not self.keep_open:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
            self.sock.close()
        self.pyroInstances.clear()
        for resource in list(self.tracked_resources):
            with contextlib.suppress(Exception):  # the others are closed all the same
                resource.close()
        self.tracked_resources.clear()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self.sock.fileno()

    def family(self) -> str:
        """Return what kind of socket it is: "IPv4", "IPv6" or "Unix"."""
        return family_name(self.sock)

    def getpeercert(self) -> Any:
        """Return the certificate that the other side has shown, or None."""
        with contextlib.suppress(AttributeError):
            return self.sock.getpeercert()  # type: ignore[attr-defined]

    @property
    def timeout(self) -> float | None:
        """Seconds that sending and receiving may take; None: for ever."""
        return self.sock.gettimeout()

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self.sock.settimeout(seconds)

    def gettimeout(self) -> float | None:
        """Return the timeout in seconds."""
        return self.timeout

    def settimeout(self, timeout: float | None) -> None:
        """Set the timeout in seconds."""
        self.timeout = timeout

    getTimeout, setTimeout = gettimeout, settimeout

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # its constructor may have failed, the interpreter may be half gone
            self.close()
