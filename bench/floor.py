"""The floor below a step: C programs that do the bare minimum of it, measured in the same rounds as the contenders.

Machines get faster and slower from one second to the next, so a yardstick of another minute says little.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import report
import yardsticks

MIB = 1 << 20


class Floor(NamedTuple):
    """A C program beside a step: the name in the tables, how to run it over a transport, the unit of its figure."""

    name: str
    run: Callable[[Any], Any]
    unit: str = ""
    """"" for a time (a PingPong), otherwise that of a rate."""


def ping_pong(mode: yardsticks.Mode, pinned: int | tuple[int, int] | None = None) -> Floor:
    """An exchange of 64 bytes, both ends waiting in that way, on these processors."""
    return Floor(f"C ping-pong, {mode}", lambda transport: yardsticks.ping_pong(transport, mode, pinned=pinned))


def stream(memory: yardsticks.Memory) -> Floor:
    """1 MiB writes into memory that is used again, or into new memory."""
    name = "C stream" if memory == "warm" else "C stream, fresh memory"
    return Floor(name, lambda transport: yardsticks.stream(transport, memory, total=256 * MIB), "bytes/s")


def crowd(threads: int) -> Floor:
    """So many threads that block in recv, and a server that waits in epoll (TCP)."""
    return Floor("C threads and epoll", lambda _: yardsticks.crowd(threads), "calls/s")


def visits() -> Floor:
    """Connect, two exchanges, close, one after the other; both ends block (TCP)."""
    return Floor("C connection", lambda _: yardsticks.visits(), "calls/s")


def row(title: str, transport: str, floor: Floor, results: Sequence[Any]) -> report.Row:
    """Return the row of the results of all rounds."""
    nan = float("nan")
    if floor.unit:
        return report.Row(title, transport, floor.name, nan, nan, None, statistics.median(results), floor.unit)
    median, p99, cpu = (
        statistics.median(getattr(result, field) for result in results) for field in ("median_us", "p99_us", "cpu_us")
    )
    return report.Row(title, transport, floor.name, median, p99, cpu, None, "")
