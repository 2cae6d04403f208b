"""How many Python functions an error, a stream's end, connecting and a look-up enter, in both ends: no more than now.

A change that needs more has to say what for. Before the road of a call was rebuilt, an error entered 1882 (875 of them in
the client), a stream's end 181, connecting 115, and a look-up with its first call 304.
"""

from __future__ import annotations

import sys

import pytest
from python_frames import Count, frames

import fastpyro
from fastpyro.transport import handshake

pytestmark = pytest.mark.skipif(fastpyro.config.PORTABLE, reason="the native channel's are counted")

MOST_OWN = {"call": 2, "error": 40, "stream_item": 17, "stream_end": 43, "connect": 75, "lookup": 206}
"""Functions of fastpyro itself. Two of each are looks at the deadlines, which the loop takes whatever it serves, and two
more where a busy machine interrupts it.
"""

MOST = {"call": 2, "error": 106, "stream_item": 18, "stream_end": 49, "connect": 90, "lookup": 242}
"""With those of Python 3.11's library: an error's traceback is 60 of them. Other versions have others."""


@pytest.fixture(scope="module")
def counts() -> dict[str, Count]:
    handshake._dialects.clear()  # what other tests have found out costs a look
    return frames()


@pytest.mark.parametrize("operation", MOST_OWN)
def test_no_more_functions_are_entered_than_now(counts: dict[str, Count], operation: str) -> None:
    count = counts[operation]
    assert count.own <= MOST_OWN[operation], "\n".join(count.client + count.server)
    if sys.version_info[:2] == (3, 11):
        assert count.total <= MOST[operation], "\n".join(count.client + count.server)


def test_client_and_server_are_seen(counts: dict[str, Count]) -> None:
    assert any("_pyro_connect" in name for name in counts["connect"].client)
    assert any("read_request" in name for name in counts["connect"].server)
    assert not counts["call"].client
