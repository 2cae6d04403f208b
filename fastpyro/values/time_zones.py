"""Time zones by their keys ("Europe/Berlin"), for the decoder; and those of other packages, for the encoder.

A message names a zone; it must not decide which files of this machine are opened. So all zones of the machine's database
are read at once, when the first zoned time arrives, as a module would be imported: the same files whatever the key is.
From then on a key costs a look-up, and one that is not there costs no more. (Some 600 zones, 2 MB; tens of milliseconds,
which a program that cannot wait then spends when it likes, by calling `load`.)
Values keep what makes them values: a zone is the object that ``zoneinfo.ZoneInfo(key)`` gives, so that times of one zone
compare and subtract as times of one zone. Stand-ins that find out later what they are would not.
"""

from __future__ import annotations

from datetime import timezone

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.errors import SerializeError

if TYPE_CHECKING:
    from typing import Any

__all__ = ["check_zone", "load", "standard_zone", "zone_of"]

_zones: dict[str, Any] = {}


def load() -> None:
    """Read all zones of the machine's database (or of the package tzdata), anew if that has changed."""
    from zoneinfo import ZoneInfo, available_timezones

    found: dict[str, Any] = {}
    for key in available_timezones():
        try:
            found[key] = ZoneInfo(key)
        except (ValueError, LookupError, OSError):  # a broken file
            continue
    found.setdefault("", None)  # no zone; so that a machine without any does not look again for each message
    _zones.update(found)  # two threads may get here at a time, with the same zones


def zone_of(key: str) -> Any:
    """Return the ``ZoneInfo`` of a key, or None when there is no such zone."""
    if not _zones:
        load()
    return _zones.get(key)


DATABASE = "zoneinfo/"
"""The start of the name of a zone's file, before its key."""


def standard_zone(zone: Any) -> Any:
    """Return a zone of another package as a ``ZoneInfo``, or a ``timezone`` where it has one offset. Raises SerializeError.

    pytz and dateutil know their zones by key as well. A zone of one's own travels by its offset, if that depends on nothing.
    """
    for name in (getattr(zone, "key", None), getattr(zone, "zone", None), getattr(zone, "_filename", None)):
        if type(name) is str:
            found = zone_of(name.rpartition(DATABASE)[2])
            if found is not None:
                return found
    try:
        offset, text = zone.utcoffset(None), zone.tzname(None)
        if offset is not None:
            return timezone(offset, text) if type(text) is str else timezone(offset)
    except Exception:  # it may ask for a time, or have none at all
        offset = None
    kind = type(zone)
    raise SerializeError(
        f"cannot serialize a time zone of type {kind.__module__}.{kind.__qualname__}: it has neither a key nor an offset "
        "that depends on nothing. Use datetime.timezone or zoneinfo.ZoneInfo, or send value.isoformat()"
    )


def check_zone(value: Any) -> None:
    """Raise SerializeError for a time whose zone cannot travel in our own format."""
    zone = getattr(value, "tzinfo", None)
    if zone is not None and type(zone) is not timezone and not getattr(zone, "key", None):
        standard_zone(zone)
