from collections.abc import Callable
from typing import Any, Self, final

@final
class ValueDecoder:
    def __new__(cls, from_state: Callable[[str, Any], Any]) -> Self: ...
