from collections.abc import Callable
from typing import Any

from fastpyro.values._objects import Builder

class ErrorBuilder(Builder):
    def __init__(
        self,
        own_classes: dict[str, type[BaseException]],
        classes: dict[str, type[BaseException]],
        *,
        late_class: Callable[[str], type[BaseException] | None],
        converter_of: Callable[[str], Any],
        describe: Callable[[Any], tuple[Any, bool, bool, tuple[str, ...]]],
        otherwise: Callable[[str, Any], Any],
    ) -> None: ...
