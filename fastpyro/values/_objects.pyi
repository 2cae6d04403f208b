from collections.abc import Callable
from typing import Any, final

@final
class Constant:
    @property
    def value(self) -> Any: ...
    def __new__(cls, value: Any) -> Constant: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

@final
class Attributes:
    def __init__(
        self,
        describe: Callable[[], tuple[bool, dict[str, Any], frozenset[str], frozenset[str]]],
        judge: Callable[[Any, Any], None],
        fields: dict[str, Any] | None = None,
        required: object = None,
        optional: object = None,
        *,
        merge: Callable[[Any], Any] | None = None,
    ) -> None: ...
    def __call__(self, value: Any, state: Any) -> None: ...

class Builder:
    def __call__(self, state: Any) -> Any: ...

@final
class ObjectBuilder(Builder):
    def __init__(self, cls: type, attributes: Attributes) -> None: ...

@final
class ContainerBuilder(Builder):
    def __init__(
        self,
        cls: type,
        base: type,
        fill: Callable[[Any, Any], Any] | None,
        size: int,
        attributes: Callable[[Any, Any], None],
        judge: Callable[[Any], tuple[Any, Any]],
    ) -> None: ...

@final
class MemberBuilder(Builder):
    def __init__(self, members: dict[Any, Any], kind: type, otherwise: Callable[[Any], Any]) -> None: ...

@final
class ClassTable:
    def __init__(
        self,
        converters: dict[str, Any],
        builders: dict[str, Any],
        own_names: set[str],
        otherwise: Callable[[str, Any], Any],
    ) -> None: ...
    def __call__(self, class_name: str, state: Any) -> Any: ...
