"""Serpent in Cython beside the serpent package, there and back, in interleaved rounds.

``python bench/bench_serpent.py`` prints a table. Under pytest the rounds are short, and the ratios are checked.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import serpent

from fastpyro.serializers.registry import get_serializer

ARGUMENTS = ("obj", "echo", ("hello", 42), {"key": [1, 2, 3]})
DICTS = [{"id": number, "name": f"item {number}", "value": number * 0.5, "tags": ["a", "b"]} for number in range(1000)]

WORKLOADS: dict[str, tuple[Any, int, float]] = {
    'echo("hello", 42, key=[1, 2, 3])': (ARGUMENTS, 500, 12.0),
    "1,000 dicts of 4 fields": (DICTS, 2, 20.0),
}
"""Name: value, repeats in a round, and how many times faster than the package it shall be at the least."""

SHORT_RUN = 0.7
"""Part of it that short rounds demand, which run beside other tests."""


def seconds(action: Callable[[], Any], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        action()
    return (time.perf_counter() - started) / repeats


def compare(value: Any, repeats: int, rounds: int) -> tuple[float, float]:
    """Return the medians of ours and of the package's, in seconds there and back."""
    ours = get_serializer("serpent")
    assert ours.loads(ours.dumps(value)) == serpent.loads(serpent.dumps(value)) == value
    samples = [
        (
            seconds(lambda: ours.loads(ours.dumps(value)), repeats),
            seconds(lambda: serpent.loads(serpent.dumps(value)), max(repeats // 10, 1)),
        )
        for _ in range(rounds)
    ]
    return statistics.median(one for one, _ in samples), statistics.median(other for _, other in samples)


@pytest.mark.parametrize("name", WORKLOADS)
def test_serpent_beside_the_package(name: str, request: pytest.FixtureRequest) -> None:
    value, repeats, least = WORKLOADS[name]
    timed = request.config.getoption("--benchmark")
    ours, theirs = compare(value, repeats, 30 if timed else 5)
    assert theirs / ours >= least * (1 if timed else SHORT_RUN)


def main() -> None:
    print(f"{'there and back, microseconds':36} {'fastpyro':>10} {'serpent':>10} {'ratio':>7}")
    for name, (value, repeats, least) in WORKLOADS.items():
        ours, theirs = compare(value, repeats, 30)
        print(f"{name:36} {ours * 1e6:10.2f} {theirs * 1e6:10.2f} {theirs / ours:7.1f}  (bound {least:g})")


if __name__ == "__main__":
    main()
