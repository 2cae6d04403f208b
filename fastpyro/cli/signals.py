"""Makes SIGTERM end a server as Ctrl-C does: cleanly."""

from __future__ import annotations

import signal
from types import FrameType

__all__ = ["stop_on_signals"]


def stop_on_signals() -> None:
    """Turn SIGINT and SIGTERM into KeyboardInterrupt in the main thread."""
    # SIGINT as well: a program that a script starts in the background inherits it as ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    # Whoever stops us may send both signals: SIGTERM must not disturb the closing then, but a second Ctrl-C may.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


_stop.stops_servers = True  # type: ignore[attr-defined]  # a daemon's own way to stop may replace it
