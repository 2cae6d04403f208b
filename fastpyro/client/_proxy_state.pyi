from collections.abc import Callable
from typing import Any

from fastpyro.values._objects import Builder
from fastpyro.values.checked import ATOMS as ATOMS

def ordinary_names(names: Any, most: int, longest: int) -> set[str] | None: ...
def is_ordinary_state(state: Any) -> bool: ...

class ProxyBuilder(Builder):
    def __init__(
        self,
        cls: type,
        uri_class: type,
        oneway_class: type,
        config: Any,
        *,
        names_of: Callable[[Any, str], set[str]],
        safe_name: Callable[[Any], str | None],
        otherwise: Callable[[str, Any], Any],
    ) -> None: ...
