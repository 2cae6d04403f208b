"""Time zones by their keys ("Europe/Berlin"), for the decoder.

A message names a zone; it must not decide which files of this machine are opened. So all zones of the machine's database
are read at once, when the first zoned time arrives, as a module would be imported: the same files whatever the key is.
From then on a key costs a look-up, and one that is not there costs no more. (Some 600 zones, 2 MB; tens of milliseconds,
which a program that cannot wait then spends when it likes, by calling `load`.)
Values keep what makes them values: a zone is the object that ``zoneinfo.ZoneInfo(key)`` gives, so that times of one zone
compare and subtract as times of one zone. Stand-ins that find out later what they are would not.
"""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

__all__ = ["load", "zone_of"]

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
