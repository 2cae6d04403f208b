"""What unfinished messages hold, and who is refused; the streams that count are in test_message_stream and test_channel."""

from __future__ import annotations

from typing import Any

import pytest

from fastpyro.transport._intake import Intake

SMALL = 16384


class Channel:
    counted = 0


class Watch:
    """Takes note of what an intake says, and answers."""

    def __init__(self, most: int, *, holds: bool = True) -> None:
        self.holds = holds
        self.held: list[Any] = []
        self.rooms = 0
        self.intake = Intake(most, self.hold, self.room)

    def hold(self, channel: Any) -> bool:
        self.held.append(channel)
        return self.holds

    def room(self) -> None:
        self.rooms += 1


def test_sums_and_numbers_of_messages() -> None:
    intake = Watch(1000).intake
    intake.change(0, 500)
    intake.change(0, 300)
    intake.change(500, 900)
    assert (intake.most, intake.total, intake.messages) == (1000, 1200, 2)
    intake.change(900, 0)
    intake.change(300, 0)
    assert (intake.total, intake.messages) == (0, 0)


def test_nobody_is_refused_while_there_is_room() -> None:
    watch = Watch(1_000_000)
    watch.intake.change(0, 1_000_000)
    assert not watch.intake.refuses("channel", 1_000_000)
    assert watch.held == []
    watch.intake.change(1_000_000, 1_000_001)
    assert watch.intake.refuses("channel", 1_000_001)
    assert watch.held == ["channel"]


def test_the_server_says_who_is_held() -> None:
    watch = Watch(0, holds=False)
    watch.intake.change(0, 100_000)
    assert not watch.intake.refuses("channel", 100_000)
    assert watch.held == ["channel"]


@pytest.mark.parametrize("messages", [1, 2, 10])
def test_everybody_has_a_share(messages: int) -> None:
    watch = Watch(2_000_000)
    for _ in range(messages):
        watch.intake.change(0, 2_000_001 // messages + 1)
    assert not watch.intake.refuses("channel", 1_000_000 // messages)
    assert watch.intake.refuses("channel", 1_000_000 // messages + 1)


def test_a_little_may_always_come() -> None:
    watch = Watch(0)
    watch.intake.change(0, 1_000_000)
    assert not watch.intake.refuses("channel", SMALL)
    assert watch.intake.refuses("channel", SMALL + 1)


def test_beyond_twice_as_much_there_are_no_shares_but_for_the_one_whose_turn_it_is() -> None:
    watch, turn = Watch(1_000_000), Channel()
    watch.intake.change(0, 2_100_000)
    assert watch.intake.refuses("channel", SMALL + 1)
    turn.counted = 200_000
    watch.intake.turn = turn
    assert not watch.intake.refuses("channel", SMALL + 1)


def test_room_is_told_of_only_while_somebody_wants_it() -> None:
    watch = Watch(1000)
    watch.intake.change(0, 2000)
    watch.intake.change(2000, 0)
    assert watch.rooms == 0
    watch.intake.watched = True
    watch.intake.change(0, 2000)
    assert watch.rooms == 0
    watch.intake.change(2000, 1999)
    assert watch.rooms == 1
