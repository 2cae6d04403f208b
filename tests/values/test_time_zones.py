"""Zones by their keys, and that no message makes a decoder open a file."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest

from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import get_serializer
from fastpyro.values import time_zones

NATIVE = get_serializer("native")
OPENED = """
import random, sys
import grammar.native, grammar.peers
from grammar.pieces import render
from fastpyro.errors import PyroError
from fastpyro.serializers.registry import get_serializer

GRAMMARS = {"native": grammar.native.NativeGrammar, **grammar.peers.PEERS}

def read(seed):
    for name, grammar_of in GRAMMARS.items():
        rng = random.Random(seed)
        load = get_serializer(name).loads
        for _ in range(300):
            data = render(grammar_of(rng, 30).value())
            try:
                load(data)
            except PyroError:
                pass

import zoneinfo
read(1)  # modules that values need are imported, and zones are read
opened = []
counting = False
EVENTS = {"open", "os", "socket", "import", "subprocess", "glob", "shutil"}
sys.addaudithook(lambda event, args: opened.append((event, args)) if counting and event.split(".")[0] in EVENTS else None)
counting = True
read(2)
for key in ("Europe/Paris", "Asia/Tokyo", "no/such", "../../etc/passwd", "x" * 90, ""):
    head = bytes([0xC7, 14 + len(key), 8, 7, 0xE8, 2, 29]) + bytes(8) + bytes([0xD9, len(key)])
    try:
        get_serializer("native").loads(head + key.encode())
    except PyroError:
        pass
counting = False
print(opened)
"""


def zoned(key: str) -> bytes:
    """Return a time of day in a zone, as it travels."""
    body = bytes(8) + bytes([0xD9, len(key)]) + key.encode()
    return bytes([0xC7, len(body), 10]) + body


def test_a_zone_is_what_zoneinfo_gives() -> None:
    when = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))
    assert NATIVE.loads(NATIVE.dumps(when)).tzinfo is ZoneInfo("Europe/Berlin")
    assert time_zones.zone_of("UTC") is ZoneInfo("UTC")


@pytest.mark.parametrize("key", ["", "no/such", "../etc/passwd", "/etc/localtime", "x" * 101, "UTC\0", "europe/berlin"])
def test_other_keys_are_refused(key: str) -> None:
    assert time_zones.zone_of(key) is None
    with pytest.raises(SerializeError, match="no such time zone"):
        NATIVE.loads(zoned(key))


def test_a_machine_without_zones_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def no_zones() -> set[str]:
        asked.append(1)
        return set()

    monkeypatch.setattr("zoneinfo.available_timezones", no_zones)
    monkeypatch.setattr(time_zones, "_zones", {})
    for _ in range(3):
        assert time_zones.zone_of("UTC") is None
    assert asked == [1]


def test_a_broken_zone_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoneinfo.available_timezones", lambda: {"UTC", "no/such"})
    monkeypatch.setattr(time_zones, "_zones", {})
    assert time_zones.zone_of("no/such") is None
    assert time_zones.zone_of("UTC") is ZoneInfo("UTC")


def test_decoding_opens_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OPENED], capture_output=True, cwd="tests", timeout=60, text=True
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


class OfAPackage(tzinfo):
    """A zone as those of pytz (``zone``) or dateutil (``_filename``) are."""

    def __init__(self, offset: timedelta | None = None, text: str | None = None, **names: str) -> None:
        self.offset, self.text = offset, text
        self.__dict__.update(names)

    def utcoffset(self, when: datetime | None) -> timedelta | None:
        return self.offset

    def tzname(self, when: datetime | None) -> str | None:
        return self.text

    def dst(self, when: datetime | None) -> None:
        return None


def test_zones_of_other_packages_travel_by_key_or_offset() -> None:
    hour = timedelta(hours=1)
    for zone, arrives in [
        (OfAPackage(zone="Europe/Berlin"), ZoneInfo("Europe/Berlin")),
        (OfAPackage(_filename="/usr/share/zoneinfo/Europe/Berlin"), ZoneInfo("Europe/Berlin")),
        (OfAPackage(hour), timezone(hour)),
        (OfAPackage(hour, "CET", zone="no such key"), timezone(hour, "CET")),
    ]:
        value = NATIVE.loads(NATIVE.dumps(datetime(2020, 1, 1, tzinfo=zone)))
        assert value.tzinfo == arrives
        assert value.tzname() == datetime(2020, 1, 1, tzinfo=arrives).tzname()
    with pytest.raises(SerializeError, match="neither a key nor an offset"):
        NATIVE.dumps(datetime(2020, 1, 1, tzinfo=OfAPackage()))
