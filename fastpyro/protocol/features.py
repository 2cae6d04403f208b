"""What two ends of a native conversation can do beyond calls: one bit each, agreed when they connect.

Each end names its bits in the annotation FEAT of its first message, four bytes, most significant first; what both name
counts for this conversation (``Channel.features``). An older end names none and simply does without.
"""

from __future__ import annotations

__all__ = ["ANNOUNCED", "CANCELS", "DEADLINES", "FEATURES", "KNOWN", "PULLS", "RETRIES", "common"]

FEATURES = "FEAT"
"""The annotation."""

DEADLINES = 1
"""Bit: a request says how much time is left for it (`_time_limits`)."""

CANCELS = 2
"""Bit: the client says when nobody waits for a reply any more (`MSG_CANCEL`)."""

PULLS = 4
"""Bit: many items of a stream are fetched at once (`client/item_pulls`)."""

RETRIES = 16
"""Bit: the daemon says which calls have not begun, and which methods may run twice (`client/retries`)."""

KNOWN = DEADLINES | CANCELS | PULLS | RETRIES
"""What this version can do."""

ANNOUNCED = KNOWN.to_bytes(4, "big")
"""The annotation's content."""


def common(theirs: bytes) -> int:
    """Return the bits that count when the other end sent this: none, where it is no such annotation."""
    return int.from_bytes(theirs, "big") & KNOWN if len(theirs) == len(ANNOUNCED) else 0
