"""Who looks for replies gives way to the loop."""

from __future__ import annotations

from collections import deque

from fastpyro.aio._turns import LoopTurns


def test_it_keeps_what_the_loop_has() -> None:
    turns = LoopTurns(deque())
    assert turns.keeper is None
    assert not list(turns.exchanges)
    turns.pass_by()  # also when nobody has looked
