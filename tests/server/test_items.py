"""The answer to a pull, while it is made: how many items, how big, what another thread may take of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import native
from fastpyro.server._items import ItemWriter

LONG = 10_000_000
"""Microseconds."""


def content(answer: ItemWriter) -> Any:
    return native.codec.decode(answer.payload)


def gather(items: Iterator[Any], most: int = 256, size: int = 65536, kept: Any = None, ahead: bool = False) -> Any:
    answer = ItemWriter(native.codec)
    left = answer.gather(items, kept, most, size, LONG, ahead)
    return answer, left


def test_as_many_items_as_are_asked_for() -> None:
    items = iter(range(10))
    answer, left = gather(items, most=4)
    assert left is None
    assert answer.count == 4
    assert answer.finish()
    assert content(answer) == [0, [0, 1, 2, 3], None]
    assert next(items) == 4


def test_enough_bytes() -> None:
    items = iter([b"x" * 1000] * 100)
    answer, _ = gather(items, size=5000)
    assert answer.count == 5


def test_no_time_left_is_one_item() -> None:
    answer = ItemWriter(native.codec)
    assert answer.gather(iter(range(10)), None, 256, 65536, -1, False) is None
    assert answer.count == 1


def test_a_kept_item_comes_first() -> None:
    answer, _ = gather(iter([2]), most=2, kept=(1,))
    answer.finish(1, native.codec.encode("the end"))
    assert content(answer) == [1, [1, 2], "the end"]


@pytest.mark.parametrize("big", [b"x" * 100_000, "x" * 100_000, bytearray(100_000), [b"x" * 60_000, b"y" * 60_000]])
def test_a_big_item_is_not_sent_ahead(big: Any) -> None:
    answer, left = gather(iter([1, big, 2]), ahead=True)
    assert left == (big,)
    answer.finish()
    assert content(answer) == [0, [1], None]
    alone, left = gather(iter([big, 2]), ahead=True)
    assert left == (big,)
    alone.finish()
    assert content(alone) == [0, [], None]
    waited_for, left = gather(iter([2]), kept=(big,))
    assert left is None
    assert waited_for.count == 1  # and is the last one


def test_an_item_with_buffers_is_the_last_one() -> None:
    """The iterator may use its memory again."""
    answer, _ = gather(iter([b"x" * 40_000, 2]), size=1 << 20)
    answer.finish()
    assert answer.count == 1
    assert type(answer.payload) is list


def failing() -> Iterator[Any]:
    yield 1
    raise ValueError("no second")


@pytest.mark.parametrize(
    ("items", "error"),
    [(failing(), ValueError), (iter([1]), StopIteration), (iter([1, threading.Lock()]), SerializeError)],
)
def test_what_ends_it_comes_behind_the_items(items: Iterator[Any], error: type[Exception]) -> None:
    answer = ItemWriter(native.codec)
    with pytest.raises(error):
        answer.gather(items, None, 256, 65536, LONG, False)
    assert answer.finish(2, native.codec.encode("error"))
    assert content(answer) == [2, [1], "error"]


def test_what_another_thread_takes_is_not_sent_twice() -> None:
    answer = ItemWriter(native.codec)
    taken: list[Any] = []

    def items() -> Iterator[int]:
        taken.append(answer.take_early(0))
        yield 1
        taken.append(answer.take_early(LONG))  # too early
        yield 2
        taken.append(answer.take_early(0))
        taken.append(answer.take_early(0))
        yield 3

    assert answer.gather(items(), None, 256, 65536, LONG, False) == (3,)
    assert not answer.finish()
    assert answer.payload is None
    assert [native.codec.decode(one) if one else None for one in taken] == [None, None, [0, [1, 2], None], None]


def test_nothing_is_taken_while_an_item_is_written() -> None:
    """Writing runs the user's code, in which other threads run."""
    answer = ItemWriter(native.codec)
    taken = []

    class Odd(dict[str, int]):
        def __reduce_ex__(self, protocol: Any) -> Any:
            taken.append(answer.take_early(0))
            return super().__reduce_ex__(protocol)

    with pytest.raises((SerializeError, StopIteration)):
        answer.gather(iter([1, Odd(a=1)]), None, 256, 65536, LONG, False)
    assert not any(taken)
    assert not answer.answered


def test_an_answer_may_be_one_that_was_made_before() -> None:
    answer = ItemWriter(native.codec)
    answer.answer_with(b"before")
    assert answer.payload == b"before"
    assert not answer.finish()


def test_nothing_is_early_once_all_is_gathered() -> None:
    answer = ItemWriter(native.codec)
    answer.gather(iter([1, 2, 3]), None, 2, 65536, LONG, False)
    assert answer.take_early(0) is None
    assert answer.finish()
    assert content(answer) == [0, [1, 2], None]
