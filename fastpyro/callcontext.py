"""What surrounds a call: who calls, and the annotations and correlation id that travel beside the arguments.

`current_context` is one object for each thread.
Rule 1: on the server a request's context is what `begin` was given; its fields are derived when they are asked for.
Rule 2: `end` forgets everything: nothing of a request, or of its failure, reaches the next request of that thread.
Rule 3: a method that makes calls of its own keeps its context; only `response_annotations` shows the last reply's.
        The correlation id travels along with such nested calls, and so do the request's annotations.
"""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any

from fastpyro.errors import PyroError

if TYPE_CHECKING:
    from fastpyro._wire import Message
    from fastpyro.connection import Connection

__all__ = ["CallContext", "current_context"]


class CallContext(threading.local):
    """The call that this thread is in, and what it adds to calls of its own.

    Attributes: ``client`` (the Connection that calls, None outside a call), ``client_sock_addr``, ``seq``, ``msg_flags``,
    ``serializer_id``; ``annotations``, a dict of 4-character str to bytes: in a method those of the request, otherwise
    those to send with the next calls; ``response_annotations``: in a method those to send with the reply, on a client
    those of the last reply; ``correlation_id``, a uuid.UUID or None.
    """

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.message: Message | None = None
        self._annotations: dict[str, Any] | None = None
        self._response: dict[str, Any] | None = None
        self._response_received = False  # came with the reply to a call of ours: not for our own reply
        self._correlation: uuid.UUID | bytes | None = None

    @property
    def client(self) -> Connection | None:
        return self.connection

    @property
    def client_sock_addr(self) -> Any:
        return None if self.connection is None else self.connection.peer_address

    @property
    def seq(self) -> int:
        return 0 if self.message is None else self.message.seq

    @property
    def msg_flags(self) -> int:
        return 0 if self.message is None else self.message.flags

    @property
    def serializer_id(self) -> int:
        return 0 if self.message is None else self.message.serializer_id

    @property
    def annotations(self) -> dict[str, Any]:
        if self._annotations is None:
            self._annotations = {} if self.message is None else dict(self.message.annotations)
        return self._annotations

    @annotations.setter
    def annotations(self, annotations: dict[str, Any]) -> None:
        self._annotations = annotations

    @property
    def response_annotations(self) -> dict[str, Any]:
        if self._response is None:
            self._response = {}
        return self._response

    @response_annotations.setter
    def response_annotations(self, annotations: dict[str, Any]) -> None:
        self._response = annotations
        self._response_received = False

    @property
    def correlation_id(self) -> uuid.UUID | None:
        if self._correlation is None and self.message is not None:
            self._correlation = self.message.correlation_id
        if isinstance(self._correlation, bytes):
            self._correlation = uuid.UUID(bytes=self._correlation)
        return self._correlation

    @correlation_id.setter
    def correlation_id(self, correlation_id: uuid.UUID | None) -> None:
        if correlation_id is not None and not isinstance(correlation_id, uuid.UUID):
            raise TypeError(f"a correlation id is a uuid.UUID or None, not {type(correlation_id).__name__}")
        self._correlation = correlation_id

    def to_global(self) -> dict[str, Any]:
        """Return the context as a dict, to hand it to another thread."""
        return {
            "connection": self.connection,
            "message": self.message,
            "annotations": dict(self.annotations),
            "response_annotations": dict(self.response_annotations),
            "correlation_id": self.correlation_id,
        }

    def from_global(self, values: dict[str, Any]) -> None:
        """Take over what ``to_global`` returned in another thread."""
        self.connection = values["connection"]
        self.message = values["message"]
        self._annotations = values["annotations"]
        self._response = values["response_annotations"]
        self._correlation = values["correlation_id"]

    def track_resource(self, resource: Any) -> None:
        """Have ``resource.close()`` called when the calling client disconnects, unless the resource is gone before.

        Raises PyroError outside a call.
        """
        self._calling_client().tracked_resources.add(resource)

    def untrack_resource(self, resource: Any) -> None:
        """Undo ``track_resource``. Raises PyroError outside a call."""
        self._calling_client().tracked_resources.discard(resource)

    def _calling_client(self) -> Connection:
        if self.connection is None:
            raise PyroError("resources can only be tracked inside a remote call, for the client that makes it")
        return self.connection

    def request_annotations(self) -> tuple[dict[str, Any] | None, bytes | None]:
        """Return annotations and correlation id to send with a call; None where there are none."""
        if self.message is None and self._annotations is None and self._correlation is None:
            return None, None
        correlation_id = self.correlation_id
        return self.annotations or None, None if correlation_id is None else correlation_id.bytes

    def received(self, message: Message) -> None:
        """Take in what came with a reply."""
        if message.has_annotations:
            self._response = message.annotations
            self._response_received = True
        elif self._response is not None and (self.message is None or self._response_received):
            self._response = None

    def begin(self, connection: Connection, message: Message) -> None:
        """Enter the context of a request."""
        self.connection = connection
        self.message = message

    def end(self) -> None:
        """Leave the context of a request."""
        self.connection = None
        self.message = None
        self._annotations = None
        self._response = None
        self._response_received = False
        self._correlation = None

    def reply_annotations(self) -> dict[str, Any] | None:
        """Return the annotations that the method wants to send with its reply."""
        return None if self._response_received else self._response or None


current_context = CallContext()
