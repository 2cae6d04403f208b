"""Calls that do not begin: which. What is answered is seen in tests/client/test_time_limits_of_calls.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fastpyro import errors
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Message, Outgoing
from fastpyro.protocol.features import DEADLINES
from fastpyro.server.dropped_calls import DroppedCalls, dropped


def request_with(time_left: float) -> Message:
    outgoing = Outgoing(4, 0, 7, 70, b"")
    outgoing.time_left = time_left
    decoder = Decoder()
    decoder.feed(outgoing.to_bytes())
    message = decoder.next_message()
    assert message is not None
    return message


def client(features: int = DEADLINES) -> Any:
    return SimpleNamespace(
        channel=SimpleNamespace(features=features), dialect=502, serializer=None, accepted=frozenset()
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastpyro.server.dropped_calls.time.monotonic", lambda: 1e12)


def test_a_late_call_is_dropped_and_counted(clock: None) -> None:
    counts = DroppedCalls()
    error = dropped(counts, client(), request_with(5))
    assert type(error) is errors.TimeoutError
    assert counts.late == 1
    assert repr(counts) == "<1 late and 0 cancelled calls were dropped>"


@pytest.mark.usefixtures("clock")
def test_who_did_not_agree_is_never_late() -> None:
    counts = DroppedCalls()
    assert dropped(counts, client(0), request_with(5)) is None
    assert counts.late == 0


def test_what_has_time_begins() -> None:
    counts = DroppedCalls()
    assert dropped(counts, client(), request_with(5)) is None
    assert dropped(counts, client(), request_with(0)) is None
