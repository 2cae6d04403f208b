"""The calls of a batch are performed in order, as many at a time as there is time for."""

from __future__ import annotations

import time
from typing import Any

import pytest

import fastpyro
from fastpyro.protocol._batch import ResultWriter, decode_results
from fastpyro.protocol.peer_batches import ResultList
from fastpyro.serializers.registry import get_serializer, native
from fastpyro.server._batches import perform_batch


@fastpyro.expose
class Subject:
    """What the calls call."""

    def __init__(self) -> None:
        self.calls = 0

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return args, kwargs

    def fail(self) -> None:
        raise ValueError("failed")

    async def later(self) -> Any:
        return 1

    def work(self, milliseconds: float) -> None:
        self.calls += 1
        until = time.perf_counter() + milliseconds / 1e3
        while time.perf_counter() < until:
            pass

    def times(self, value: bytes, count: int) -> bytes:
        self.calls += 1
        return value * count


def no_coroutine(coroutine: Any) -> Any:
    pytest.fail("there is none")


def test_a_batch_ends_where_a_call_fails() -> None:
    results = ResultWriter(native.codec)
    calls: list[Any] = [("echo", (1,), None), ("echo", (), {"key": 2}), ("fail", (), None), ("echo", (3,), None)]
    with pytest.raises(ValueError, match="failed"):
        perform_batch(Subject(), calls, True, results, no_coroutine)
    assert len(results) == 2
    assert decode_results(native.codec, results.payload()) == ([((1,), {}), ((), {"key": 2})], None)


def test_a_batch_has_coroutines_awaited() -> None:
    def run(coroutine: Any) -> str:
        coroutine.close()
        return "awaited"

    results = ResultWriter(native.codec)
    calls: list[Any] = [("later", (), None), ("echo", (2,), None)]
    assert perform_batch(Subject(), calls, True, results, run)
    assert decode_results(native.codec, results.payload()) == (["awaited", ((2,), {})], None)


def pieces(results: Any, calls: list[Any], seconds: float) -> list[int]:
    """Perform a batch in pieces; returns how many calls each of them had."""
    subject, found = Subject(), []
    done = False
    while not done:
        before = subject.calls
        done = perform_batch(subject, calls, True, results, no_coroutine, seconds)
        found.append(subject.calls - before)
        assert len(found) <= len(calls)
    assert sum(found) == len(calls) == len(results)
    return found


def test_it_goes_on_where_it_stopped() -> None:
    calls: list[Any] = [("echo", (number,), None) for number in range(1000)]
    expected: list[Any] = [((number,), {}) for number in range(1000)]
    writer = ResultWriter(native.codec)
    assert len(pieces(writer, calls, 1e-9)) > 100
    assert decode_results(native.codec, writer.payload())[0] == expected
    serializer = get_serializer("serpent")
    listed = ResultList(serializer)
    assert len(pieces(listed, calls, 1e-9)) > 100
    assert serializer.loads(listed.payload()) == [list(one) if isinstance(one, list) else one for one in expected]


def test_without_a_limit_it_stops_nowhere() -> None:
    assert pieces(ResultWriter(native.codec), [("work", (0.1,), None)] * 100, 0) == [100]


def test_slow_calls_come_one_at_a_time() -> None:
    assert pieces(ResultWriter(native.codec), [("work", (1.0,), None)] * 20, 250e-6) == [1] * 20


def test_slow_calls_behind_quick_ones_are_few() -> None:
    calls = [*[("echo", (), None)] * 20, *[("work", (1.0,), None)] * 40]
    assert max(pieces(ResultWriter(native.codec), calls, 250e-6)[2:]) <= 8


def test_big_results_are_noticed_at_once() -> None:
    calls = [*[("times", (b"x", 1), None)] * 20, *[("times", (b"x", 4_000_000), None)] * 10]
    found = pieces(ResultWriter(native.codec), calls, 250e-6)
    assert found[-9:] == [1] * 9
