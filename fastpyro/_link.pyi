import socket
from collections.abc import Mapping
from typing import Any

from typing_extensions import Buffer

from fastpyro._wire import Message

class Link:
    def __init__(self, sock: socket.socket, max_message_size: int = 0) -> None: ...
    @property
    def sock(self) -> socket.socket: ...
    @property
    def closed(self) -> bool: ...
    @property
    def has_buffered(self) -> bool: ...
    @property
    def receiving(self) -> bool: ...
    def fileno(self) -> int: ...
    def set_max_message_size(self, max_message_size: int) -> None: ...
    def send(
        self,
        kind: int,
        flags: int,
        seq: int,
        serializer_id: int,
        payload: Buffer,
        annotations: Mapping[str, Any] | None = None,
        correlation_id: bytes | None = None,
        timeout: float | None = None,
    ) -> None: ...
    def receive(self, timeout: float | None = None) -> Message: ...
    def exchange(
        self,
        kind: int,
        flags: int,
        seq: int,
        serializer_id: int,
        payload: Buffer,
        annotations: Mapping[str, Any] | None = None,
        correlation_id: bytes | None = None,
        timeout: float | None = None,
    ) -> Message: ...
    def receive_available(self) -> Message | None: ...
    def close(self) -> None: ...
    def abandon(self) -> None: ...
