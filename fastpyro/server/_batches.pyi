from collections.abc import Callable
from typing import Any

from fastpyro.server._request import Request
from fastpyro.server.service import Service

def perform_batch(
    target: Any,
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any] | None]],
    require_expose: bool,
    results: Any,
    await_result: Callable[[Any], Any],
) -> None: ...
def run_batch(service: Service, request: Request) -> Any: ...
