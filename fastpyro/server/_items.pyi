from collections.abc import Iterator
from typing import Any, Self, final

from fastpyro.serializers._codec import Codec

@final
class ItemWriter:
    def __new__(cls, codec: Codec) -> Self: ...
    @property
    def count(self) -> int: ...
    @property
    def answered(self) -> bool: ...
    @property
    def payload(self) -> Any: ...  # bytes, or a list of parts
    def gather(
        self,
        iterator: Iterator[Any],
        kept: tuple[Any] | None,
        most: int,
        size: int,
        microseconds: int,
        ahead: bool,
    ) -> tuple[Any] | None: ...
    def take_early(self, microseconds: int) -> bytes | None: ...
    def finish(self, state: int = 0, outcome: bytes = b"\xc0") -> bool: ...
    def answer_with(self, payload: Any) -> None: ...
