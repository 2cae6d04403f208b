from collections.abc import Callable
from typing import Any, Self, final

from typing_extensions import Buffer

@final
class Codec:
    def __new__(
        cls,
        to_state: Callable[[Any], tuple[str | None, Any]],
        from_state: Callable[[str, Any], Any],
    ) -> Self: ...
    def encode(self, value: Any) -> bytes: ...
    def encode_parts(self, value: Any) -> Any: ...
    def encode_call_parts(
        self, object_id: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> Any: ...
    def decode(self, data: Buffer, buffers: list[Any] | None = None) -> Any: ...
    def encode_call(
        self, object_id: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> bytes: ...
    def decode_call(
        self, data: Buffer, buffers: list[Any] | None = None
    ) -> tuple[str, str, tuple[Any, ...], dict[str, Any]]: ...
