"""What a client asks for of a stream, and what it makes of answers: those of a daemon, and those that lie."""

from __future__ import annotations

from typing import Any

import pytest

from fastpyro.client.item_pulls import ItemPulls
from fastpyro.errors import RemoteProtocolError


def fetch(pulls: ItemPulls, source: list[Any], ahead: bool = False) -> int:
    """Have a pull answered from a list. Returns how many items it asked for."""
    pull = pulls.next_pull("s", ahead)
    assert pull[0] == "s"
    assert pull[3] + len(source) == SIZE
    given = [source.pop(0) for _ in range(min(pull[1], len(source)))]
    pulls.take([0 if source else 1, given, None if source else "end"], pull)
    return int(pull[1])


SIZE = 2000


def consume(pulls: ItemPulls) -> list[Any]:
    got = []
    while pulls.items or pulls.turn():
        got.append(pulls.items.pop())
    return got


def test_the_window_begins_with_two_and_doubles_to_256() -> None:
    pulls, source, got, asked = ItemPulls(), list(range(SIZE)), [], []
    while not pulls.ended:
        asked.append(fetch(pulls, source))
        got += consume(pulls)
    assert got == list(range(SIZE))
    assert asked[:10] == [2, 4, 8, 16, 32, 64, 128, 256, 256, 256]
    assert pulls.outcome == "end"
    assert not pulls.wants_ahead


@pytest.mark.parametrize("prefetch", [0, 1])
def test_without_prefetch_each_item_is_asked_for_when_it_is_wanted(prefetch: int) -> None:
    pulls, source = ItemPulls(prefetch), list(range(SIZE))
    for _ in range(20):
        assert not pulls.wants_ahead
        assert fetch(pulls, source) == 1
        consume(pulls)


def test_half_of_a_window_is_left_when_the_next_one_is_due() -> None:
    pulls, source = ItemPulls(), list(range(SIZE))
    for _ in range(3):
        fetch(pulls, source)
        consume(pulls)
    assert fetch(pulls, source) == 16
    assert (len(pulls.items), pulls.is_half) == (8, False)
    pulls.items.clear()
    assert pulls.turn()
    assert (len(pulls.items), pulls.is_half) == (8, True)


def test_items_too_big_to_be_sent_ahead_are_waited_for() -> None:
    pulls, source = ItemPulls(), list(range(SIZE))
    for _ in range(3):
        fetch(pulls, source)
        consume(pulls)
    pulls.take([0, [], None], pulls.next_pull("s", True))
    assert not pulls.items
    assert not pulls.wants_ahead
    pulls.take([0, ["big"], None], pulls.next_pull("s", False))
    assert not pulls.wants_ahead
    pulls.take([0, ["small", "small"], None], pulls.next_pull("s", False))
    assert pulls.wants_ahead


def test_a_failure_is_kept_until_the_items_before_it_are_consumed() -> None:
    pulls = ItemPulls()
    pulls.take([2, [1], ValueError("x")], pulls.next_pull("s", False))
    assert consume(pulls) == [1]
    assert pulls.ended
    assert type(pulls.failure) is ValueError


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "not a NoneType"),
        ([], "not a list of 0"),
        ([0, [1]], "not a list of 2"),
        ((0, [1], None), "not a tuple"),
        ({0: 1}, "not a dict"),
        ([0, (1,), None], "array of state"),
        ([True, [1], None], "array of state"),
        (["0", [1], None], "array of state"),
        ([0, {1: 2}, None], "array of state"),
        ([3, [1], None], "state 3, which there is not"),
        ([-1, [1], None], "state -1, which there is not"),
        ([2**70, [1], None], "which there is not"),
        ([0, [1, 2, 3], None], "3 items of a stream came, of 2 that were asked for"),
        ([1, [1] * 300, None], "300 items of a stream came"),
        ([2, [], "an error"], "failed with a str, not with an exception"),
        ([0, [], None], "goes on without an item"),
    ],
)
def test_a_server_that_lies_about_items_is_found_out(answer: Any, says: str) -> None:
    pulls = ItemPulls()
    with pytest.raises(RemoteProtocolError, match=says):
        pulls.take(answer, pulls.next_pull("s", False))
    assert not pulls.items


def test_what_has_come_is_forgotten() -> None:
    pulls, source = ItemPulls(), list(range(SIZE))
    for _ in range(5):
        fetch(pulls, source)
    pulls.drop()
    assert not pulls.items
    assert not pulls.turn()
