"""Connections by the place they come from."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from fastpyro.server._crowds import Crowd, place_of


class Connection:
    """A double."""

    def __init__(self, fd: int, address: str) -> None:
        self.fd, self.address = fd, address


def crowd_of(*connections: Any) -> Crowd:
    crowd = Crowd()
    for connection in connections:
        crowd.add(connection, place_of(connection))
    return crowd


def test_it_says_the_same_as_a_look_at_all() -> None:
    generator = random.Random(5)
    crowd = crowd_of()
    all_: dict[int, Any] = {}
    for _ in range(3000):
        fd = generator.randrange(60)
        if fd in all_:
            crowd.remove(fd)
            del all_[fd]
        else:
            all_[fd] = Connection(fd, f"192.0.2.{generator.randrange(6)}")
            crowd.add(all_[fd], place_of(all_[fd]))
        counts = Counter(one.address for one in all_.values())
        assert len(crowd) == len(all_)
        assert (fd in crowd) is (fd in all_)
        assert crowd.values() == list(all_.values())
        assert crowd.oldest() is next(iter(all_.values()), None)
        most: Any = crowd.oldest_of_most()
        assert (most is None) is (not all_)
        if most is not None:
            assert counts[most.address] == max(counts.values())
            assert most is next(one for one in all_.values() if one.address == most.address)
        largest: list[tuple[int, list[Any]]] = list(crowd.largest(3, 2))
        assert [count for count, _ in largest] == sorted(counts.values(), reverse=True)[:3]
        for count, some in largest:
            own = [one for one in all_.values() if one.address == some[0].address]
            assert count == len(own)
            assert some == own[:2]


def test_those_that_were_looked_at_come_last_in_their_place() -> None:
    first: Any = Connection(1, "a")
    second, other = Connection(2, "a"), Connection(3, "b")
    crowd = crowd_of(first, second, other)
    looked_at: list[Any] = [first, Connection(1, "a"), Connection(9, "c")]
    crowd.put_last(looked_at)
    expected: list[Any] = [(2, [second, first])]
    assert crowd.largest(1, 5) == expected
    assert crowd.oldest() is first
    crowd.clear()
    crowd.remove(1)
    assert (len(crowd), crowd.oldest(), crowd.oldest_of_most(), crowd.largest(2, 2)) == (0, None, None, [])


def test_a_network_of_ipv6_is_one_place() -> None:
    spread = [Connection(number, f"2001:db8::{number}") for number in range(3)]
    others = [Connection(3, "2001:db8:0:1::1"), Connection(4, "::ffff:192.0.2.1"), Connection(5, "fe80::1%eth0")]
    assert [count for count, _ in crowd_of(*others, *spread).largest(9, 1)] == [3, 1, 1, 1]
