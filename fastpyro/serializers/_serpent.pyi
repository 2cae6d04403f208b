from collections.abc import Callable
from typing import Any, Final, Self, final

from typing_extensions import Buffer

HEADER: Final[bytes]

@final
class SerpentCodec:
    bytes_literal: bool
    def __new__(cls, simplify: Callable[[Any], Any], restore: Callable[[str, dict[str, Any]], Any]) -> Self: ...
    def encode(self, value: Any) -> bytes: ...
    def encode_call(
        self, object_id: str, method: str, args: tuple[Any, ...] | list[Any], kwargs: dict[str, Any] | None
    ) -> bytes: ...
    def decode(self, data: Buffer, buffers: list[Any] | None = None) -> Any: ...
    def decode_call(self, data: Buffer) -> tuple[str, str, Any, dict[str, Any] | None]: ...
