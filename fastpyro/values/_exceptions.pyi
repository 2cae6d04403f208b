from collections.abc import Callable
from typing import Any, final

from fastpyro.errors import TEXT as TEXT
from fastpyro.values._objects import Builder
from fastpyro.values.checked import ATOMS as ATOMS

@final
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
