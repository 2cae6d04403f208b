import socket
from collections.abc import Mapping
from typing import Any

from fastpyro._message import Message
from fastpyro._stream import Stream

class MessageStream(Stream):
    def __init__(self, sock: socket.socket, max_message_size: int = 0) -> None: ...
    @property
    def receiving(self) -> bool: ...
    def set_max_message_size(self, max_message_size: int) -> None: ...
    def send(
        self,
        kind: int,
        flags: int,
        seq: int,
        serializer_id: int,
        payload: Any,
        annotations: Mapping[str, Any] | None = None,
        correlation_id: bytes | None = None,
        timeout: float | None = None,
    ) -> None: ...
    def receive(self, timeout: float | None = None) -> Message: ...
    def receive_available(self) -> Message | None: ...
