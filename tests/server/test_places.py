"""Who gets a place for a slow call, who waits, whose turn it is, and who is refused."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest

from fastpyro.server.call_queue import Waiting, place_of
from fastpyro.server.places import Places


class Client:
    """Stands for a connection."""

    def __init__(self, origin: str) -> None:
        self.origin = origin


def client_from(origin: str = "here") -> Any:
    return Client(origin)


class Request:
    def __init__(self, size: int = 0) -> None:
        self.payload = bytes(size)
        self.buffers: list[bytes] | None = None
        self.has_annotations = False
        self.annotations: dict[str, bytes] = {}


def call(client: Any, size: int = 0, *, urgent: bool = False, slow: bool = True, holds: bool = False) -> Waiting:
    return Waiting(place_of(client, urgent), Request(size), size, slow, holds, False)  # type: ignore[arg-type]


def make(size: int = 4, most_waiting: int = 100, most_bytes: int = 1000) -> Places:
    return Places(size, most_waiting, most_bytes)


def fill(places: Places, client: Any, count: int | None = None) -> None:
    for _ in range(places.size if count is None else count):
        places.take(place_of(client))


def wait(places: Places, *calls: Waiting) -> list[Waiting]:
    """Queue calls, of which none is refused."""
    found = []
    for one in calls:
        waiting, refused = places.enqueue(one)
        assert refused == []
        found.append(waiting)
    return found


def order(places: Places) -> list[Any]:
    """Serve the whole queue, one call at a time; return whose calls were served, in order."""
    served = []
    while (waiting := places.next()) is not None:
        served.append(waiting.place.connection)
        places.give(waiting.place)
    return served


def test_places_are_for_whoever_comes_until_they_are_full() -> None:
    places, client = make(4), client_from()
    for count in range(4):
        assert not places.full
        assert places.may_start(place_of(client))
        places.take(place_of(client))
        assert places.busy == count + 1
    assert places.full
    assert not places.may_start(place_of(client))
    assert places.may_start(place_of(client), slow=False)
    fill(places, client, places.reserve)
    assert places.jammed
    assert not places.may_start(place_of(client), slow=False)
    for _ in range(4 + places.reserve):
        places.give(place_of(client))
    assert (places.busy, places.full, places.jammed) == (0, False, False)


def test_urgent_calls_have_places_of_their_own() -> None:
    places, client = make(4), client_from()
    fill(places, client, 4 + places.reserve)
    for _ in range(places.reserve):
        assert places.may_start(place_of(client, urgent=True))
        places.take(place_of(client, urgent=True))
    assert not places.may_start(place_of(client, urgent=True))
    assert places.full
    assert places.slow == 4 + places.reserve


def test_a_newcomer_uses_the_reserve_while_one_connection_has_most() -> None:
    places, greedy, newcomer = make(20), client_from(), client_from()
    fill(places, greedy)
    for _ in range(places.reserve // 2):
        assert not places.may_start(place_of(greedy))
        assert places.may_start(place_of(newcomer))
        places.take(place_of(newcomer))
        newcomer = client_from()
    assert not places.may_start(place_of(newcomer))


def test_another_address_uses_the_reserve_while_one_has_nearly_all() -> None:
    places = make(20)
    for _ in range(20):
        fill(places, client_from("here"), 1)
    assert not places.may_start(place_of(client_from("here")))
    assert places.may_start(place_of(client_from("there")))


def test_addresses_take_turns_and_so_do_the_connections_of_one() -> None:
    places, one, two, other = make(1), client_from(), client_from(), client_from("there")
    fill(places, client_from("elsewhere"))
    wait(places, *(call(client) for client in (one, one, one, two, two, other, other)))
    places.give(place_of(next(iter(places._of_connection))))
    served = order(places)
    assert [client.origin for client in served] == ["here", "there"] * 2 + ["here"] * 3
    assert [client for client in served if client is not other] == [one, two, one, two, one]


def test_who_has_nothing_running_comes_before_who_has_much() -> None:
    places, greedy, newcomer = make(4), client_from(), client_from()
    fill(places, greedy, 3)
    fill(places, newcomer, 1)
    wait(places, *(call(greedy) for _ in range(50)), call(newcomer), call(client_from()))
    places.give(place_of(greedy))
    first = places.next()
    assert first is not None
    assert first.place.connection not in (greedy, newcomer)
    places.give(place_of(greedy))
    second = places.next()
    assert second is not None
    assert second.place.connection in (greedy, newcomer)  # either has one running
    assert places.next() is None


def test_urgent_calls_come_first() -> None:
    places, client, other = make(1), client_from(), client_from()
    running = [place_of(client_from(), urgent=True) for _ in range(places.reserve)]
    for place in (place_of(client_from()), *running):
        places.take(place)
    assert not places.may_start(place_of(client, urgent=True))
    wait(places, call(other), call(client), call(client, urgent=True))
    assert (places.next(), places.has_next) == (None, False)
    places.give(running[0])
    assert places.has_next
    found = places.next()
    assert found is not None
    assert found.place == place_of(client, urgent=True)
    assert places.next() is None


def test_quick_calls_of_the_queue_go_on_as_soon_as_it_is_not_jammed() -> None:
    places, client = make(1), client_from()
    fill(places, client, 1 + places.reserve)
    wait(places, call(client), call(client_from(), slow=False))
    assert places.next() is None
    places.give(place_of(client))
    found = places.next()
    assert found is not None
    assert not found.slow
    assert places.next() is None


def test_a_full_queue_refuses_who_fills_it() -> None:
    places, greedy, newcomer = make(1, most_waiting=10), client_from(), client_from()
    fill(places, greedy)
    mine = wait(places, *(call(greedy) for _ in range(10)))
    waiting, (refused,) = places.enqueue(call(newcomer))
    assert refused is mine[-1]
    assert waiting is not refused
    assert places.waiting == 10
    late, (refused,) = places.enqueue(call(greedy))
    assert refused is late


def test_a_full_queue_refuses_the_address_that_fills_it() -> None:
    places, newcomer = make(1, most_waiting=10), client_from("there")
    fill(places, newcomer)
    wait(places, *(call(client_from()) for _ in range(10)))
    _, (refused,) = places.enqueue(call(newcomer))
    assert refused.place.origin == "here"


def test_among_equals_the_last_one_is_refused() -> None:
    places = make(1, most_waiting=3)
    fill(places, client_from())
    wait(places, *(call(client_from()) for _ in range(3)))
    waiting, refused = places.enqueue(call(client_from()))
    assert [one is waiting for one in refused] == [True]


@pytest.mark.parametrize("urgent", [False, True])
def test_without_a_queue_whoever_would_wait_is_refused(urgent: bool) -> None:
    places = make(1, most_waiting=0)
    fill(places, client_from())
    waiting, refused = places.enqueue(call(client_from(), urgent=urgent))
    assert [one is waiting for one in refused] == [True]
    assert not places.has_next
    assert not places._queue


def test_bytes_count_as_calls_do() -> None:
    places, big, small = make(1, most_bytes=1000), client_from(), client_from()
    fill(places, big)
    mine = wait(places, call(big, 400), call(big, 500))
    waiting, (refused,) = places.enqueue(call(small, 200))
    assert refused is mine[-1]
    assert places.waiting_bytes == 600
    waiting, refused_too = places.enqueue(call(small, 2000))
    assert [one is waiting for one in refused_too] == [True]
    assert places.waiting_bytes == 600


def test_who_has_much_in_the_queue_is_not_read_from_for_a_while() -> None:
    places, client, other, big = make(1, most_waiting=160), client_from(), client_from(), client_from()
    fill(places, client)
    waiting = wait(places, *(call(client) for _ in range(10)))
    assert [one.pauses for one in waiting] == [False] * 9 + [True]
    assert not wait(places, call(other))[0].pauses
    assert wait(places, call(big, 250))[0].pauses
    assert not wait(places, call(big, 250, holds=True))[0].pauses  # it is held for longer than that


def test_nothing_is_left_of_whoever_was_served() -> None:
    """Whatever happens in whatever order, the counts are those of what is there."""
    rng = random.Random(3)
    for _ in range(50):
        places = make(rng.randrange(1, 6), rng.randrange(6), 100)
        clients = [client_from(rng.choice("abc")) for _ in range(6)]
        running: deque[Any] = deque()
        waiting = 0
        for _ in range(100):
            one = call(rng.choice(clients), rng.randrange(40), urgent=rng.random() < 0.2, slow=rng.random() < 0.8)
            if rng.random() < 0.6:
                if places.may_start(one.place, one.slow):
                    places.take(one.place)
                    running.append(one.place)
                else:
                    _, refused = places.enqueue(one)
                    waiting += 1 - len(refused)
            elif running:
                places.give(running.popleft())
                while (found := places.next()) is not None:
                    running.append(found.place)
                    waiting -= 1
            assert places.busy == len(running)
            assert places.waiting == waiting <= places.most_waiting
            assert places.waiting_bytes <= places.most_bytes
            assert places.slow <= places.size + places.reserve
            assert places.urgent <= 2 * places.reserve
        while running:
            places.give(running.popleft())
            while (found := places.next()) is not None:
                running.append(found.place)
        assert (places.busy, places.waiting, places.waiting_bytes) == (0, 0, 0)
        assert (places._of_connection, places._of_origin) == ({}, {})
        assert not places._queue


def test_clear_gives_back_what_waited() -> None:
    places = make(1)
    fill(places, client_from())
    calls = wait(places, call(client_from(), 10), call(client_from("there"), 20))
    assert places.clear() == calls
    assert (places.waiting, places.waiting_bytes, places.has_next) == (0, 0, False)
