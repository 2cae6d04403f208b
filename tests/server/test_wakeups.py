from __future__ import annotations

import select

import pytest

from fastpyro.server.wakeups import Wakeups


def rings(wakeups: Wakeups) -> bool:
    return select.select([wakeups.fd], [], [], 0)[0] == [wakeups.fd]


def test_it_rings_until_drained() -> None:
    wakeups = Wakeups()
    assert not rings(wakeups)
    for _ in range(100_000):  # more than the system keeps: nobody waits
        wakeups.wake()
    assert rings(wakeups)
    wakeups.drain()
    assert not rings(wakeups)
    wakeups.wake()
    assert rings(wakeups)
    wakeups.close()


def test_many_rings_are_one_message() -> None:
    """And after an interrupted ring the next one rings."""
    wakeups = Wakeups()
    for _ in range(1000):
        wakeups.wake()
    assert len(wakeups.receiver.recv(2000)) == 1
    wakeups.drain()
    sender, wakeups._sender = wakeups._sender, None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        wakeups.wake()
    wakeups._sender = sender
    wakeups.wake()
    assert rings(wakeups)
    wakeups.close()


def test_after_closing_nothing_happens() -> None:
    wakeups = Wakeups()
    wakeups.close()
    wakeups.close()
    wakeups.wake()
    wakeups.drain()
