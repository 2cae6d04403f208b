"""Connecting that another thread ends."""

from __future__ import annotations

import socket
import threading

import pytest

from fastpyro.errors import ConnectionClosedError
from fastpyro.transport.attempts import Attempt, opened


def test_the_socket_of_an_attempt_is_shut_down() -> None:
    attempt = Attempt()
    left, right = socket.socketpair()
    waits = threading.Event()
    received: list[bytes] = []

    def receive() -> None:
        with attempt:
            opened(left)
            waits.set()
            received.append(left.recv(1))

    with left, right:
        thread = threading.Thread(target=receive)
        thread.start()
        assert waits.wait(10)
        attempt.give_up()
        thread.join(10)
        assert received == [b""]


def test_what_is_opened_after_that_is_refused() -> None:
    attempt = Attempt()
    attempt.give_up()
    with attempt, socket.socket() as sock, pytest.raises(ConnectionClosedError, match="given up"):
        opened(sock)


def test_other_threads_have_no_attempt() -> None:
    with socket.socket() as sock:
        opened(sock)
        with Attempt():
            thread = threading.Thread(target=opened, args=(sock,))
            thread.start()
            thread.join()
