from collections.abc import Mapping
from typing import Any, Never, final

from typing_extensions import Buffer

@final
class Message:
    def __init__(self, /, *args: Never, **kwargs: Never) -> None: ...
    @property
    def kind(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def seq(self) -> int: ...
    @property
    def serializer_id(self) -> int: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def buffers(self) -> list[Any] | None: ...
    @property
    def correlation_id(self) -> bytes | None: ...
    @property
    def deadline(self) -> float: ...
    @property
    def annotations(self) -> dict[str, bytes]: ...
    @property
    def has_annotations(self) -> bool: ...

@final
class Outgoing:
    def __init__(
        self,
        kind: int,
        flags: int,
        seq: int,
        serializer_id: int,
        payload: Any,
        annotations: Mapping[str, Any] | None = None,
        correlation_id: bytes | None = None,
    ) -> None: ...
    @property
    def kind(self) -> int: ...
    @property
    def flags(self) -> int: ...
    seq: int
    @property
    def serializer_id(self) -> int: ...
    @property
    def payload(self) -> Any: ...
    annotations: Mapping[str, Any] | None
    correlation_id: bytes | None
    time_left: float
    def to_bytes(self) -> bytes: ...

def pack_message(
    kind: int,
    flags: int,
    seq: int,
    serializer_id: int,
    payload: Buffer | list[Any],
    annotations: Mapping[str, Any] | None = None,
    correlation_id: bytes | None = None,
) -> bytes: ...
