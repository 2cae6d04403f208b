"""Every exception of fastpyro, by blame.

    PyroError                                   root; FastPyroError is the same class
     +- CommunicationError                      the conversation with a peer failed
     |   +- ConnectionClosedError               the peer went away (also a ConnectionError)
     |   +- TimeoutError                        a deadline passed (also the builtin TimeoutError)
     |   +- ProtocolError                       bytes or values that break the rules
     |       +- LocalProtocolError              this program asked for something impossible
     |       +- RemoteProtocolError             the peer sent something impossible
     |       |   +- MessageAuthenticationError  a message whose HMAC is wrong (also a SecurityError)
     |       +- MessageTooLargeError            a message over the limit, in either direction
     |       +- SerializeError                  a value that cannot travel (also a ValueError)
     +- NamingError                             no such name, or no name server (also a LookupError)
     +- DaemonError                             misuse of a daemon, or an unknown object in it
     +- SecurityError                           something that is refused on purpose
     +- RemoteError                             a remote user error whose class is not known here

This module imports nothing of the package but tracebacks, and no native module.
"""

from __future__ import annotations

import builtins

from fastpyro._foreign_text import on_lines, on_one_line
from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.tracebacks import excepthook, get_pyro_traceback

if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "CommunicationError",
    "ConnectionClosedError",
    "DaemonError",
    "FastPyroError",
    "LocalProtocolError",
    "MessageAuthenticationError",
    "MessageTooLargeError",
    "NamingError",
    "ProtocolError",
    "PyroError",
    "RemoteError",
    "RemoteProtocolError",
    "SecurityError",
    "SerializeError",
    "ServerOverloadedError",
    "TimeoutError",
    "excepthook",
    "get_pyro_traceback",
]


class PyroError(Exception):
    """Root of all errors that fastpyro itself raises."""

    _pyroTraceback: list[str] | None
    """The remote traceback's lines, when the error came from another process."""

    not_started: bool = False
    """Whether the call that failed surely has not begun, so that it may be made again, whatever it does: there was no
    connection to be had, it could not be sent, or the server has refused it before it began. False when nobody knows."""

    def __str__(self) -> str:
        # What is wrong is often told with words of the other side: Python prints them when nobody catches the error.
        return on_lines(super().__str__())


FastPyroError = PyroError


class CommunicationError(PyroError):
    """The conversation with a peer failed."""


class ConnectionClosedError(CommunicationError, ConnectionError):
    """The peer closed the connection, or it broke, before the exchange was complete."""


class TimeoutError(CommunicationError, builtins.TimeoutError):
    """The deadline of an exchange passed; its connection has been closed."""


class ProtocolError(CommunicationError):
    """A message or a value that breaks the rules of the protocol."""


class LocalProtocolError(ProtocolError):
    """This program asked for a message that the protocol cannot express."""


class RemoteProtocolError(ProtocolError):
    """The peer sent bytes that are not a message, or a message that is out of turn."""


class MessageTooLargeError(ProtocolError):
    """A message over ``MAX_MESSAGE_SIZE``, refused before memory is taken for it."""


class SerializeError(ProtocolError, ValueError):
    """A value that cannot be put on the wire, or bytes that are no value."""


class NamingError(PyroError, LookupError):
    """A name server that cannot be found, or a name that it does not know."""


class DaemonError(PyroError):
    """Misuse of a daemon, or a call to an object that it does not have."""


class ServerOverloadedError(DaemonError):
    """The server runs as many slow calls as it may, and as many wait as may wait. The call has not been performed."""


class SecurityError(PyroError):
    """Something that is refused on purpose, whoever asks."""


class MessageAuthenticationError(RemoteProtocolError, SecurityError):
    """A message whose HMAC is missing or wrong (protocol 48, with a key on either side)."""


TEXT = "_pyroText"
"""The attribute under which the text of an exception travels whose class makes it in a way of its own."""


class RemoteError(PyroError):
    """A remote exception whose class is not registered in this process.

    Attributes:
        class_name: the full name of the remote class, such as ``"bank.OverdrawnError"``.
        args: the arguments of the remote exception, as they were.
        attributes: its other attributes, by name; they are also set on this object.

    Register the class on this side with ``fastpyro.register_exception`` to catch it by its own name.
    """

    def __init__(self, class_name: str, args: tuple[Any, ...] = (), attributes: dict[str, Any] | None = None) -> None:
        super().__init__(*args)
        self.class_name = class_name
        self.attributes = dict(attributes or {})
        for name, value in self.attributes.items():
            if not (name.startswith("__") or name in _REMOTE_ERROR_FIELDS):
                setattr(self, name, value)

    if TYPE_CHECKING:

        def __getattr__(self, name: str, /) -> Any: ...  # what the remote exception had

    def __str__(self) -> str:
        own = self.__dict__.get(TEXT)
        text = own if type(own) is str else super().__str__()
        name = on_one_line(str(self.class_name))
        return f"{name}: {text}" if text else name

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.class_name, self.args, self.attributes)


_REMOTE_ERROR_FIELDS = frozenset({"class_name", "args", "attributes", "with_traceback", "add_note"})
