from collections.abc import Mapping

from fastpyro.server._connection import ConnectionCore

def in_turn(ready: list[int], connections: Mapping[int, ConnectionCore], newest: bool) -> list[int]: ...
