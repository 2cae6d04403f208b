"""What a gateway holds of answers is bounded, and those go who take nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from fastpyro.compat.shared.unsent_answers import UnsentAnswers


@pytest.fixture
def clients() -> Iterator[list[socket.socket]]:
    pairs = [socket.socketpair() for _ in range(4)]
    yield [near for near, _ in pairs]
    for pair in pairs:
        for sock in pair:
            sock.close()


def is_open(client: socket.socket) -> bool:
    try:
        client.send(b"x")
    except OSError:
        return False
    return True


def test_who_has_taken_nothing_for_the_longest_time_goes(clients: list[socket.socket]) -> None:
    answers = UnsentAnswers(100)
    answers.begin(clients[0], 40)
    answers.begin(clients[1], 40)
    answers.took(clients[0], 10)
    assert answers.total == 70
    answers.begin(clients[2], 50)
    assert [is_open(client) for client in clients] == [True, False, True, True]
    assert answers.total == 80
    answers.took(clients[1], 5)  # it is gone: that counts no more
    answers.end(clients[1])
    answers.end(clients[0])
    assert answers.total == 50


def test_the_last_one_is_kept_however_big_it_is(clients: list[socket.socket]) -> None:
    answers = UnsentAnswers(100)
    answers.begin(clients[0], 10)
    answers.begin(clients[1], 1000)
    assert [is_open(client) for client in clients[:2]] == [False, True]
    answers.begin(clients[2], 1)
    assert [is_open(client) for client in clients[:3]] == [False, False, True]
    answers.end(clients[2])
    answers.end(clients[2])
    assert answers.total == 0
