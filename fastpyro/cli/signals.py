"""Makes SIGTERM end a server as Ctrl-C does: cleanly."""

from __future__ import annotations

import signal
from types import FrameType

__all__ = ["terminate_like_interrupt"]


def terminate_like_interrupt() -> None:
    """Turn SIGTERM into KeyboardInterrupt in the main thread."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
