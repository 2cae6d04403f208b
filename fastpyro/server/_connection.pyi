from typing import Any

from fastpyro.transport._link import Link
from fastpyro.transport.channel import Channel

class ConnectionCore:
    channel: Channel
    peer_address: Any
    handshaken: bool
    read_holds: Any  # a number that other threads change: nobody shall narrow it
    waits_turn: bool
    serial_calls: bool
    oneway_apart: bool
    calls_running: int
    last_used: float
    instances: dict[type, Any]
    home: Any
    def __init__(self, channel: Any, peer_address: Any) -> None: ...
    def begin_call(self) -> None: ...
    def end_call(self) -> None: ...
    def begin_turn(self) -> None: ...
    def end_turn(self, alone: bool) -> bool: ...
    @property
    def cost(self) -> float: ...
    @property
    def took(self) -> float: ...
    @property
    def fd(self) -> int: ...
    @property
    def link(self) -> Link | None: ...
