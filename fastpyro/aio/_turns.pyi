from typing import Any
from weakref import WeakSet

class LoopTurns:
    keeper: Any
    exchanges: WeakSet[Any]
    def __init__(self, ready: Any = None) -> None: ...
    def pass_by(self) -> None: ...
