"""Scopes of time: which limit holds where, and how a duration travels."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
from collections.abc import Generator

import pytest

import fastpyro
from fastpyro.callcontext import current_context
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Outgoing
from fastpyro.protocol._time_limits import code_of_seconds, seconds_of_code

LONGEST_SENT = 4095 * 2**30 * 1e-6


def left() -> float:
    seconds = current_context.time_left
    assert seconds is not None
    return seconds


def test_no_scope_is_no_limit() -> None:
    assert current_context.time_left is None


def test_the_shorter_scope_holds_and_the_outer_one_comes_back() -> None:
    with fastpyro.timeout(100):
        with fastpyro.timeout(10):
            assert 9 < left() <= 10
        with fastpyro.timeout(1000):
            assert 99 < left() <= 100
        with fastpyro.timeout(None):
            assert 99 < left() <= 100
        assert 99 < left() <= 100
    assert current_context.time_left is None


def test_a_scope_ends_with_an_error() -> None:
    with pytest.raises(KeyError), fastpyro.timeout(10):
        raise KeyError
    assert current_context.time_left is None


@pytest.mark.parametrize("seconds", [0, 0.0, 1e-300, 5e-324])
def test_deadlines_of_nothing_are_over_at_once(seconds: float) -> None:
    with fastpyro.timeout(seconds):
        assert left() == 0.0


@pytest.mark.parametrize("seconds", [1e9, 1e18, 1e308, math.inf, 10**30])
def test_huge_deadlines_are_cut(seconds: float) -> None:
    with fastpyro.timeout(seconds):
        assert 0.9e9 < left() <= 1e9


@pytest.mark.parametrize("seconds", [-1, -0.001, -math.inf, math.nan])
def test_what_is_no_duration_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="a timeout is a number of seconds"):
        fastpyro.timeout(seconds)


@pytest.mark.parametrize("seconds", ["1", b"1", [], 1j])
def test_what_is_no_number_is_refused(seconds: object) -> None:
    with pytest.raises(TypeError):
        fastpyro.timeout(seconds)  # type: ignore[arg-type]


def test_a_scope_is_entered_once() -> None:
    scope = fastpyro.timeout(10)
    with scope, pytest.raises(RuntimeError, match="entered once"):
        scope.__enter__()
    assert current_context.time_left is None


def test_threads_have_their_own() -> None:
    seen: list[float | None] = []
    with fastpyro.timeout(10):
        thread = threading.Thread(target=lambda: seen.append(current_context.time_left))
        thread.start()
        thread.join()
    assert seen == [None]


def test_tasks_have_their_own_and_that_in_which_they_were_made() -> None:
    async def bounded(seconds: float, ready: asyncio.Barrier) -> float:
        with fastpyro.timeout(seconds):
            await ready.wait()  # all of them are inside now
            return left()

    async def after(seconds: asyncio.Event) -> float | None:
        await seconds.wait()
        return current_context.time_left

    async def main() -> None:
        ready, over = asyncio.Barrier(3), asyncio.Event()
        some = await asyncio.gather(bounded(10, ready), bounded(100, ready), bounded(1000, ready))
        assert [round(one, -1) for one in some] == [10, 100, 1000]
        assert current_context.time_left is None
        outside = asyncio.create_task(after(over))
        with fastpyro.timeout(50):
            inside = asyncio.create_task(after(over))
            await asyncio.sleep(0)
        over.set()
        assert await outside is None
        late = await inside  # it was made for what has that much time
        assert late is not None
        assert 49 < late <= 50

    asyncio.run(main())


def test_a_generator_that_ends_in_another_context_breaks_nothing() -> None:
    def numbers() -> Generator[int, None, None]:
        with fastpyro.timeout(10):
            yield 1

    generator, began_in = numbers(), contextvars.Context()
    assert began_in.run(next, generator) == 1
    contextvars.Context().run(generator.close)
    assert began_in.run(left) > 9  # where it began it still counts
    test_no_scope_is_no_limit()


@pytest.mark.parametrize("seconds", [1e-6, 3.3e-4, 0.002047, 0.002048, 0.1, 1.0, 59.9, 86400.0, 1e6, LONGEST_SENT])
def test_a_duration_travels_a_little_longer_never_shorter(seconds: float) -> None:
    code = code_of_seconds(seconds)
    assert 0 < code <= 0xFFFF
    assert seconds <= seconds_of_code(code) * (1 + 1e-12)
    assert seconds_of_code(code) <= max(seconds * 1.0005, seconds + 1e-6)


@pytest.mark.parametrize("seconds", [LONGEST_SENT * 1.001, 1e9, math.inf, math.nan])
def test_what_is_too_long_to_travel_does_not(seconds: float) -> None:
    assert code_of_seconds(seconds) == 0


def test_every_code_is_a_duration_and_comes_back() -> None:
    durations = [seconds_of_code(code) for code in range(1, 0x10000)]
    assert durations == sorted(set(durations))
    assert durations[0] == 1e-6
    assert [code_of_seconds(seconds * (1 - 1e-15)) for seconds in durations] == list(range(1, 0x10000))


def test_a_message_carries_it() -> None:
    decoder = Decoder()
    outgoing = Outgoing(4, 0, 7, 70, b"payload")
    decoder.feed(outgoing.to_bytes())
    outgoing.time_left = 5.0
    decoder.feed(outgoing.to_bytes())
    first, second = decoder.next_message(), decoder.next_message()
    assert first is not None
    assert second is not None
    assert first.deadline == 0
    assert second.deadline > 0
