"""SIGTERM and SIGINT end a served daemon: the first one lets it finish what runs, the second one ends it at once.

Rule 1: a handler runs between any two steps of the main thread, which may have any lock: it takes none, and leaves what
        needs some to a thread.
"""

from __future__ import annotations

import _thread
import signal
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["GRACE_SECONDS", "StopSignals"]

GRACE_SECONDS = 10.0
"""How long calls that run may go on: shorter than service managers wait before they kill (systemd 90, docker 10 seconds)."""


class StopSignals:
    """Has signals end a daemon while the context lasts. Arguments: ``daemon``; ``grace``, seconds for what runs.

    Enter it in the main thread, before the request loop, and leave it when all is closed; in another thread it does nothing.
    Handlers of the program's own stay. The second signal raises KeyboardInterrupt, and so does one before ``run``.
    """

    def __init__(self, daemon: Any, grace: float = GRACE_SECONDS) -> None:
        self.daemon = daemon
        self.grace = grace
        self.serving = self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.getsignal(number)
                if before in (signal.SIG_DFL, signal.default_int_handler) or hasattr(before, "stops_servers"):
                    self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def run(self, loop: Callable[[], object]) -> None:
        """Run the daemon's loop."""
        self.serving = True
        if not self.asked:
            loop()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        server = self.daemon.transportServer
        self.daemon._announced.due = True
        if not self.serving or self.asked or server is None:
            self.asked = True
            if server is not None:
                server.draining.give_up_waiting()
                _thread.start_new_thread(server.shutdown, (0.0,))  # threads of its own may wait
            raise KeyboardInterrupt
        self.asked = True
        _thread.start_new_thread(self._begin_to_stop, (server,))

    def _begin_to_stop(self, server: Any) -> None:
        server.shutdown(self.grace)
        self.daemon._announced.withdraw_soon()
