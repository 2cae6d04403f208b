from collections.abc import Callable, Mapping
from typing import Any, Self, final

from fastpyro._batch import ResultWriter
from fastpyro._codec import Codec
from fastpyro._link import Link, Looker
from fastpyro._message import Message
from fastpyro.channel import Channel

class ConnectionCore:
    channel: Channel
    peer_address: Any
    handshaken: bool
    held: Any  # a number that other threads change: nobody shall narrow it
    ordered: bool
    oneway_apart: bool
    in_call: int
    last_used: float
    instances: dict[type, Any]
    def __init__(self, channel: Any, peer_address: Any) -> None: ...
    def begin_call(self) -> None: ...
    def end_call(self) -> None: ...
    @property
    def fd(self) -> int: ...
    @property
    def link(self) -> Link | None: ...

@final
class Term:
    def __new__(cls) -> Self: ...
    @property
    def connection(self) -> Any: ...
    @property
    def oneway(self) -> bool: ...
    @property
    def deposed(self) -> Any: ...  # a bool that other threads change: nobody shall narrow it
    @property
    def alone(self) -> bool: ...

@final
class OrdinaryRequests:
    full: bool
    jammed: bool
    big_replies: Any
    @property
    def big(self) -> dict[tuple[type, str], int]: ...
    def __new__(cls, server: Any, daemon: Any, codec: Codec, plain: bool) -> Self: ...
    def forget_classes(self) -> None: ...
    def begin_request(self, term: Term, connection: ConnectionCore, flags: int) -> None: ...
    def end_request(self, term: Term) -> None: ...
    def depose(self, term: Term, serial: int, free_oneway: bool) -> bool: ...
    def note_big(self, kind: type, name: str, size: int, late: bool) -> None: ...
    def stop(self) -> None: ...
    def watch(self) -> int: ...
    def park(self) -> bool: ...
    def serve_ready(
        self,
        ready: list[int],
        start: int,
        connections: Mapping[int, ConnectionCore],
        term: Term,
        timeout: float,
        looker: Looker | None = None,
    ) -> tuple[int, Any, Message | None, Exception | None]: ...
    def serve(
        self, connection: ConnectionCore, term: Term, timeout: float, looker: Looker | None = None
    ) -> Message | None: ...

def perform_batch(
    target: Any,
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any] | None]],
    require_expose: bool,
    results: ResultWriter,
    await_result: Callable[[Any], Any],
) -> None: ...
