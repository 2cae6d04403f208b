from collections.abc import Mapping

from fastpyro.server._connection import ConnectionCore
from fastpyro.server._leader import Leadership

def in_turn(
    ready: list[int], connections: Mapping[int, ConnectionCore], newest: bool, leadership: Leadership | None = None
) -> list[int]: ...
