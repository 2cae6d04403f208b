import socket
from collections.abc import Callable, Mapping
from typing import Any

from typing_extensions import Buffer

from fastpyro._mutex import ServingThread
from fastpyro.protocol._message import Message
from fastpyro.transport._message_stream import MessageStream

class Looker: ...

class Link(MessageStream):
    def __init__(self, sock: socket.socket, max_message_size: int = 0) -> None: ...
    served_by: ServingThread | None
    def set_background(self, run: Callable[[Callable[[], object]], object]) -> None: ...
    def free_sequence_number(self, seq: int) -> int: ...
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
    def submit(
        self,
        kind: int,
        flags: int,
        seq: int,
        serializer_id: int,
        payload: Buffer,
        annotations: Mapping[str, Any] | None,
        correlation_id: bytes | None,
        timeout: float | None,
        callback: Callable[[Message | None, BaseException | None], object],
    ) -> None: ...
    def push(self) -> None: ...
    def withdraw(self, seq: int) -> bool: ...
    def read_for_others(self) -> None: ...
