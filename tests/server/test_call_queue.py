"""Whose turn it is among calls that wait: the same as by looking at all of them."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from fastpyro.server.call_queue import CallQueue, Place, Ranks, Waiting


def test_ranks_are_by_number_and_then_by_turn() -> None:
    ranks = Ranks()
    for key, number in (("a", 2), ("b", 1), ("c", 2), ("d", 1)):
        ranks.put(key, number)
    assert list(ranks.in_order()) == ["b", "d", "a", "c"]
    assert (ranks.first(), ranks.most("c"), ranks.most("b")) == ("b", "c", "a")
    ranks.put("b", 1)  # behind the others
    ranks.remove("a")
    ranks.remove("a")
    assert list(ranks.in_order()) == ["d", "b", "c"]
    assert "a" not in ranks
    for key in "bcd":
        ranks.remove(key)
    assert not ranks


class Subject:
    """A queue beside a list of the same calls, and the places that somebody has."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.of_connection: dict[Any, int] = {}
        self.of_origin: dict[Any, int] = {}
        self.queue = CallQueue(self.of_connection, self.of_origin)
        self.calls: list[Waiting] = []

    def add(self) -> None:
        name = self.rng.choice("aabbbcd") + self.rng.choice("123")
        place = Place(name, name[0], self.rng.random() < 0.2)  # type: ignore[arg-type]
        call = Waiting(place, object(), self.rng.randrange(9), self.rng.random() < 0.7, False, False)  # type: ignore[arg-type]
        self.queue.add(call)
        self.calls.append(call)

    def change_places(self) -> None:
        name: Any = self.rng.choice("aabbbcd") + self.rng.choice("123")
        change = self.rng.randrange(3) - self.of_connection.get(name, 0)
        self.of_connection[name] = self.of_connection.get(name, 0) + change
        self.of_origin[name[0]] = self.of_origin.get(name[0], 0) + change
        self.queue.places_changed(name, name[0])

    def rank(self, call: Waiting) -> tuple[int, int, int]:
        kind = 0 if call.place.urgent else 2 if call.slow else 1
        return kind, self.of_origin.get(call.place.origin, 0), self.of_connection.get(call.place.connection, 0)

    def check_and_take(self) -> None:
        first = next(self.queue.candidates())
        assert self.rank(first)[:2] == min(map(self.rank, self.calls))[:2]  # among equal addresses it is by turns
        assert self.rank(first) == min(
            self.rank(call) for call in self.calls if call.place.origin == first.place.origin
        )
        same = [call for call in self.calls if call.place == first.place and call.slow == first.slow]
        assert first is same[0]
        ranks = [self.rank(call)[:2] for call in self.queue.candidates()]
        assert ranks == sorted(ranks)
        self.queue.remove(first)
        self.calls.remove(first)

    def check_and_refuse(self) -> None:
        lengths = Counter(call.place.origin for call in self.calls)
        own = Counter(call.place.connection for call in self.calls)
        newcomer = self.rng.choice(self.calls).place
        found = self.queue.newest_of_longest(newcomer.origin, newcomer.connection)
        assert lengths[found.place.origin] == max(lengths.values())
        origin = found.place.origin
        most = max(count for name, count in own.items() if name[0] == origin)  # type: ignore[index]
        assert own[found.place.connection] == most
        if own[newcomer.connection] == most and lengths[newcomer.origin] == max(lengths.values()):
            assert found.place.connection == newcomer.connection
        largest = self.queue.newest_of_largest(newcomer.origin, newcomer.connection)
        sizes = Counter[Any]()
        for call in self.calls:
            sizes[call.place.origin] += call.size
        assert sizes[largest.place.origin] == max(sizes.values())
        self.queue.remove(found)
        self.calls.remove(found)


def test_it_is_the_same_as_looking_at_all() -> None:
    for seed in range(30):
        subject = Subject(random.Random(seed))
        for _ in range(150):
            step = subject.rng.random()
            if step < 0.45 or not subject.calls:
                subject.add()
            elif step < 0.6:
                subject.change_places()
            elif step < 0.85:
                subject.check_and_take()
            else:
                subject.check_and_refuse()
            assert subject.queue.length == len(subject.calls)
            assert subject.queue.size == sum(call.size for call in subject.calls)
            assert set(map(id, subject.queue.all())) == set(map(id, subject.calls))
        while subject.calls:
            subject.check_and_take()
        assert not subject.queue
