from collections.abc import Callable
from typing import Any, final

@final
class Unbuilt:
    class_name: str
    data: dict[str, Any]
    def __init__(self, class_name: str, data: dict[str, Any]) -> None: ...

@final
class Builder: ...

def build_all(
    value: Any,
    build: Callable[[str, dict[str, Any]], Any],
    takes_raw: Callable[[str], bool],
    keeps: Callable[[str, dict[str, Any]], bool] | None = None,
) -> Any: ...
