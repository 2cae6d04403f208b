from collections.abc import Callable
from typing import Any, Self, final

@final
class Writer: ...

@final
class ValueEncoder:
    def __new__(cls, to_state: Callable[[Any], tuple[str | None, Any]]) -> Self: ...

@final
class Bulk:
    def __init__(self, view: memoryview) -> None: ...
