"""Offsets of time zones, and durations, to the last microsecond that there can be."""

from __future__ import annotations

from datetime import datetime, time, timedelta, timezone

import pytest

from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import get_serializer

NATIVE = get_serializer("native")
MOST = timedelta(days=1) - timedelta(microseconds=1)
OFFSETS = [
    timedelta(0),
    MOST,
    -MOST,
    timedelta(microseconds=-1),
    timedelta(hours=-3, microseconds=5),
    timedelta(hours=14),
]


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("name", [None, "", "here"])
def test_offsets(offset: timedelta, name: str | None) -> None:
    zone = timezone(offset) if name is None else timezone(offset, name)
    for moment in (datetime(2020, 2, 29, 1, tzinfo=zone), time(1, 2, 3, 4, tzinfo=zone)):
        read = NATIVE.loads(NATIVE.dumps(moment))
        assert read == moment
        assert (read.tzinfo, repr(read)) == (zone, repr(moment))


@pytest.mark.parametrize("offset", [86_400_000_000, -86_400_000_000, 2**40, -(2**63)])
def test_an_offset_of_a_day_is_none(offset: int) -> None:
    data = bytes(8) + NATIVE.dumps(offset)
    with pytest.raises(SerializeError, match="no such time zone"):
        NATIVE.loads(b"\xc7" + bytes([len(data)]) + b"\x0a" + data)


@pytest.mark.parametrize("duration", [timedelta.min, timedelta.max, timedelta(0), -MOST, MOST])
def test_durations(duration: timedelta) -> None:
    assert NATIVE.loads(NATIVE.dumps(duration)) == duration
