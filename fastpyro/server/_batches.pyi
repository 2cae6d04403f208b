from collections.abc import Callable
from typing import Any

from fastpyro.serializers.registry import Serializer
from fastpyro.server._request import Request
from fastpyro.server.interrupted_batches import InterruptedBatches
from fastpyro.server.replies import Reply, UnfinishedBatch
from fastpyro.server.service import Service

def perform_batch(
    target: Any,
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any] | None]],
    require_expose: bool,
    results: Any,
    await_result: Callable[[Any], Any],
    turn: int = 0,
) -> bool: ...
def run_batch(service: Service, request: Request, interrupted_batches: InterruptedBatches | None = None) -> Any: ...
def finish(
    service: Service,
    request: Request,
    serializer: Serializer,
    results: Any,
    interrupted_batches: InterruptedBatches | None,
) -> Reply | UnfinishedBatch | None: ...
