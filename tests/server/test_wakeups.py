from __future__ import annotations

import select

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


def test_after_closing_nothing_happens() -> None:
    wakeups = Wakeups()
    wakeups.close()
    wakeups.close()
    wakeups.wake()
    wakeups.drain()
