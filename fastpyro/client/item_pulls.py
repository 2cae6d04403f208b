"""Which items of a stream are asked for, and what came: the client's side of pulls, without a connection.

The first item is fetched alone, as from Pyro's daemons. Then the window is two, doubles while the consumer goes on, and
ends at 256 items or 64 KiB. While its second half
is consumed the next one is on its way, unless items are big. Whoever fetches asks `next_pull` for the arguments of a call of
`pull_stream_items`, and gives its result to `take`; `item_stream` does it for threads.
"""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.constants import MOST_PULLED_BYTES, MOST_PULLED_ITEMS, PULL_ENDED, PULL_FAILED, PULL_GOES_ON
from fastpyro.errors import RemoteProtocolError
from fastpyro.values.checked import is_kind, type_name

if TYPE_CHECKING:
    from typing import Any

__all__ = ["ItemPulls"]


class ItemPulls:
    """What is fetched of one stream. Knows no connection, and does not wait.

    Attributes: ``items``, those that are here and have not been consumed, the next one last; ``ended``, whether the stream
    has none behind them: then ``outcome`` is what the generator returned, or ``failure`` what it raised. Argument:
    ``prefetch``, the most items of a window; 0 and 1: each is asked for when it is wanted.
    """

    __slots__ = ("_apart", "_later", "_position", "_window", "ended", "failure", "items", "outcome", "prefetch")

    def __init__(self, prefetch: int = MOST_PULLED_ITEMS) -> None:
        self.prefetch = prefetch
        self.items: list[Any] = []
        self.ended = False
        self.outcome: Any = None
        self.failure: BaseException | None = None
        self._later: list[Any] = []
        self._position = 0
        self._window = 2
        self._apart = False  # items are too big to be sent while nobody waits for them

    @property
    def wants_ahead(self) -> bool:
        """Whether the next pull is to be sent now, while the last items are consumed."""
        return not self.ended and not self._apart and self.prefetch > 1

    @property
    def is_half(self) -> bool:
        """Whether what is here is all that came, and the next pull due."""
        return not self._later and self.wants_ahead

    def next_pull(self, stream_id: str, ahead: bool) -> tuple[Any, ...]:
        """Return the arguments of the next pull. Argument: ``ahead``, whether nobody waits for it yet."""
        most = max(min(self._window, self.prefetch), 1)
        return stream_id, most, MOST_PULLED_BYTES, self._position, ahead

    def take(self, answer: Any, pull: tuple[Any, ...]) -> None:
        """Take in what came of a pull. Raises RemoteProtocolError for what is no answer to it.

        Afterwards there are items, or the stream has ended; nothing at all only where the pull was sent ahead.
        """
        most, ahead = pull[1], pull[4]
        if type(answer) is not list or len(answer) != 3 or type(answer[0]) is not int or type(answer[1]) is not list:
            raise RemoteProtocolError(
                f"the answer to a pull is an array of state, items and outcome, not a {_shape(answer)}"
            )
        state, items, outcome = answer
        if len(items) > most:
            raise RemoteProtocolError(f"{len(items):,} items of a stream came, of {most:,} that were asked for")
        if state not in (PULL_GOES_ON, PULL_ENDED, PULL_FAILED):
            raise RemoteProtocolError(f"the answer to a pull has state {state}, which there is not")
        if state == PULL_FAILED and not is_kind(outcome, BaseException):
            raise RemoteProtocolError(f"a stream failed with a {type_name(outcome)}, not with an exception")
        if state == PULL_GOES_ON and not items and not ahead:
            raise RemoteProtocolError("a stream goes on without an item, for which somebody waits")
        self._position += len(items)
        if state == PULL_ENDED:
            self.ended, self.outcome = True, outcome
        elif state == PULL_FAILED:
            self.ended, self.failure = True, outcome
        elif items:
            self._apart = self._apart and len(items) == 1
            self._window = min(2 * self._window, max(self.prefetch, 1), MOST_PULLED_ITEMS)
        else:
            self._apart = True
        items.reverse()
        half = len(items) // 2
        self._later = items[:half]
        self.items = items[half:]

    def turn(self) -> bool:
        """Go on with the second half of what has come. False when there is none."""
        if not self._later:
            return False
        self.items, self._later = self._later, []
        return True

    def drop(self) -> None:
        """Forget what has come."""
        self.items, self._later = [], []


def _shape(answer: Any) -> str:
    return f"list of {len(answer):,}" if type(answer) is list else type_name(answer)
