from collections.abc import Mapping
from typing import Any, Self, final

from fastpyro.protocol._message import Message
from fastpyro.serializers._codec import Codec
from fastpyro.server._connection import ConnectionCore
from fastpyro.server._leader import Leadership, LeaderWatch
from fastpyro.server._request import Request
from fastpyro.server.replies import AnyReply
from fastpyro.server.service import Service
from fastpyro.transport._link import Spinner

@final
class CallServer(LeaderWatch):
    big_replies: Any
    @property
    def big(self) -> dict[tuple[type, str], int]: ...
    @property
    def service(self) -> Service: ...
    def __new__(cls, server: Any, service: Service, codec: Codec) -> Self: ...
    def use_fast_path(self, plain: bool) -> None: ...
    def forget_classes(self) -> None: ...
    def note_big(self, kind: type, name: str, size: int, late: bool) -> None: ...
    def invoke(self, request: Request) -> AnyReply | None: ...
    def serve_ready(
        self,
        ready: list[int],
        start: int,
        connections: Mapping[int, ConnectionCore],
        leadership: Leadership,
        timeout: float,
        spinner: Spinner | None = None,
    ) -> tuple[int, Any, Message | None, Exception | None]: ...
    def serve(
        self, connection: ConnectionCore, leadership: Leadership, timeout: float, spinner: Spinner | None = None
    ) -> Message | None: ...
