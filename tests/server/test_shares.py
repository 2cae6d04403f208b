"""Who has how much of what there is only so much of."""

from __future__ import annotations

from typing import Any

from fastpyro.server.shares import Shares, origin_of


def client(origin: str = "here") -> Any:
    return _Client(origin)


class _Client:
    def __init__(self, origin: str) -> None:
        self.origin = origin


def take_all(shares: Shares, connection: Any) -> int:
    count = 0
    while shares.take(connection):
        count += 1
        assert count <= shares.most
    return count


def test_a_connection_leaves_as_much_as_it_takes() -> None:
    shares, first, second = Shares(100), client(), client()
    assert take_all(shares, first) == 50
    assert take_all(shares, second) == 25
    assert (shares.total, shares.of(first), shares.of(second)) == (75, 50, 25)


def test_connections_of_one_place_leave_the_last_tenth() -> None:
    shares, other = Shares(100), client("there")
    crowd = [client() for _ in range(200)]
    assert sum(take_all(shares, one) for one in crowd) == 90
    assert shares.of_origin(crowd[0]) == 90
    assert shares.take(other)


def test_small_numbers_are_for_whoever_comes() -> None:
    for most in range(1, 6):
        shares = Shares(most)
        assert sum(shares.take(client()) for _ in range(10)) == most
    shares = Shares(1)
    first, second = client(), client()
    assert shares.take(first)
    assert not shares.take(second)
    shares.give(first)
    assert shares.take(second)


def test_what_is_given_back_is_forgotten() -> None:
    shares, first = Shares(10), client()
    count = take_all(shares, first)
    shares.take_anyway(first)
    for _ in range(count + 1):
        shares.give(first)
    assert shares.total == shares.of(first) == shares.of_origin(first) == 0
    assert not shares._of_connection
    assert not shares._of_origin


def test_where_a_client_is_from() -> None:
    assert origin_of(client("here")) == "here"
