from collections.abc import Callable
from typing import Any

def perform_batch(
    target: Any,
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any] | None]],
    require_expose: bool,
    results: Any,
    await_result: Callable[[Any], Any],
    seconds: float = 0.0,
) -> bool: ...
