"""Pulls: the items of a stream, fetched many at a time by native clients.

A pull asks for up to so many items, or bytes, from a position on. It is answered as soon as an item is there and the
next one lets others wait: after 200 microseconds, or from another thread when the iterator takes longer than that.
Rule 1: whatever can be a single item's fate is that of a pull: the same places, limits and errors. An error arrives behind
        the items before it.
Rule 2: an iterator that has given an item is entered again only when that item is encoded, or kept.
Rule 3: one item is kept at the most: that which came when its pull was answered already, or was too big to be sent while
        nobody waits for it. And the last answer, if it is small, for a client that lost it with its connection.
Rule 4: numbers of a client are looked at before anything else: they cost nobody more than one window.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex
from fastpyro.callcontext import current_context
from fastpyro.constants import (
    DAEMON_NAME,
    FLAGS_BATCH,
    FLAGS_ONEWAY,
    MOST_PULLED_BYTES,
    MOST_PULLED_ITEMS,
    MSG_RESULT,
    PULL,
    PULL_ENDED,
    PULL_FAILED,
)
from fastpyro.errors import CommunicationError, PyroError
from fastpyro.protocol._message import Outgoing
from fastpyro.protocol.features import PULLS
from fastpyro.serializers.registry import native
from fastpyro.server._items import ItemWriter
from fastpyro.server.error_lines import lines_of
from fastpyro.server.replies import report
from fastpyro.values.checked import text_of
from fastpyro.values.exceptions import exception_reply

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection
    from fastpyro.server.item_streams import Stream
    from fastpyro.server.service import Service

__all__ = ["ItemPulls"]

log = logger("fastpyro.daemon")

LONGEST = 200
"""Microseconds after which a pull that has an item asks for no further one: less than a turn."""

PATIENCE = 1000
"""Microseconds that an item waits for the next one before it is sent alone."""

LOOK = 0.001
IDLE = 0.1
PARKED = 2.0
"""Seconds: between two looks for such items; without a pull, until nobody looks; and until that thread ends."""

NOT_ONE_REPLY = FLAGS_ONEWAY | FLAGS_BATCH
"""Flags of requests that are not answered by what one call returns."""


class ItemPulls:
    """Answers the pulls of one daemon's clients. Safe among threads. Argument: ``service``, whose streams they are."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._early = EarlyAnswers(service)

    def pull(self, stream_id: object, most: object, size: object, position: object, ahead: object) -> ItemWriter:
        """Return the answer to a pull; one without a payload has been sent already. For a method, in its context.

        Arguments, as a stranger gives them: ``most`` items and ``size`` in bytes that are wanted; ``position``, how many
        items the client has; ``ahead``, whether it does not wait for them yet: then nothing bigger than that is sent.
        Raises what the iterator raises before its first item, TypeError, ValueError, and as `StreamTable.find`.
        """
        name = text_of(stream_id, "the id of a stream")
        count, room, begin = _checked(most, size, position)
        connection: Any = current_context.client
        if connection is None or not connection.channel.features & PULLS:
            raise PyroError("pulls of many items were not agreed upon in the handshake; use get_next_stream_item")
        streams = self.service.streams
        stream = streams.find(name, connection)
        answer = ItemWriter(native.codec)
        with streams.place_in(stream), stream.lock.guard():
            if begin != stream.sent:
                return _sent_again(stream, begin, answer)
            try:
                ended = self._gather(stream, answer, count, room, ahead is True)
            except BaseException:
                streams.forget(name)
                raise
            if ended:
                streams.forget(name)
        return answer

    def _gather(self, stream: Stream, answer: ItemWriter, most: int, size: int, ahead: bool) -> bool:
        """Fill an answer. True when the stream has ended with it."""
        kept, stream.kept = stream.kept, None
        early = False
        if (most > 1 or ahead) and not self.service.streams.may_have_window(stream):
            most, ahead = 1, False
        if most > 1:
            early = self._early.begin(stream, answer)
            most = most if early else 1
        try:
            if kept is None and stream.failure is not None:
                stream.raise_failure()
            stream.kept = answer.gather(stream.iterator, kept, most, size, LONGEST, ahead)
        except Exception as error:
            if answer.count == 0 and not isinstance(error, StopIteration):
                raise
            return self._end(stream, answer, error)
        finally:
            if early:
                self._early.end(answer)
        if answer.finish():
            note_sent(stream, answer)
        return False

    def _end(self, stream: Stream, answer: ItemWriter, error: Exception) -> bool:
        """The iterator has ended or failed. False when its last items have been sent already: the next pull is told."""
        if not answer.answered:
            outcome = _returned(error) if isinstance(error, StopIteration) else None
            if outcome is not None:
                finished = answer.finish(PULL_ENDED, outcome)
            elif finished := answer.finish(PULL_FAILED, exception_reply(native, error, lines_of(error))):
                _tell(self.service, error)
            if finished:
                return True
        stream.failure = error
        return False


class EarlyAnswers:
    """The pulls with an item that the client could have had, while their iterators are being waited for.

    A thread looks at them every millisecond, as long as there are some. Argument: ``service``.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self._open: dict[ItemWriter, tuple[Stream, Connection, int]] = {}
        self._wanted = threading.Event()
        self._lock = Mutex(what="the pulls of item streams")
        self._sending = Mutex(what="the items of a stream")
        self._runs = False

    def begin(self, stream: Stream, answer: ItemWriter) -> bool:
        """Look at a pull from now on, until its `end`. For its thread. False when nobody can."""
        if current_context.msg_flags & NOT_ONE_REPLY:
            return False
        client: Any = current_context.client
        self._open[answer] = stream, client, current_context.seq
        if not self._wanted.is_set():
            self._wanted.set()
            if not self._runs and not self._start():
                del self._open[answer]
                return False
        return True

    def end(self, answer: ItemWriter) -> None:
        """Look at a pull no more. An early answer has been sent then: its connection may be read again."""
        self._open.pop(answer, None)
        if answer.answered:
            with self._sending.guard():
                pass

    def _start(self) -> bool:
        with self._lock.guard():
            if self._runs:
                return True
            try:
                self._runs = True
                threading.Thread(target=self._run, name="fastpyro-items", daemon=True).start()
            except RuntimeError:  # no thread can be started
                self._runs = False
                self._wanted.clear()
        return self._runs

    def _run(self) -> None:
        until = time.monotonic() + IDLE
        while True:
            time.sleep(LOOK)
            if self._open:
                until = time.monotonic() + IDLE
                for answer in list(self._open):
                    with self._sending.guard():
                        self._look_at(answer)
            elif time.monotonic() > until and not self._park():
                return

    def _park(self) -> bool:
        """Wait until there is a pull. False when this thread is to end."""
        self._wanted.clear()
        if self._open or self._wanted.wait(PARKED):
            self._wanted.set()
            return True
        with self._lock.guard():
            self._runs = self._wanted.is_set()
        return self._runs

    def _look_at(self, answer: ItemWriter) -> None:
        found = self._open.get(answer)
        payload = answer.take_early(PATIENCE)
        if found is None or payload is None:
            return
        stream, connection, seq = found
        note_sent(stream, answer, payload)
        try:
            annotations = self.service.annotations() if self.service.has_annotations else None
            reply = Outgoing(MSG_RESULT, 0, seq, native.serializer_id, payload, annotations)
            connection.channel.send(reply)
        except CommunicationError:
            pass  # whoever reads the connection hears of it
        except Exception:  # of the daemon's hook
            log.exception("dropping %r: the daemon failed to answer it", connection)
            connection.channel.break_off()


def note_sent(stream: Stream, answer: ItemWriter, payload: Any = None) -> None:
    """An answer with items is about to be sent."""
    data = answer.payload if payload is None else payload
    if answer.count:
        stream.last_from = stream.sent
        stream.sent += answer.count
        stream.last = data if type(data) is bytes and len(data) <= 2 * MOST_PULLED_BYTES and stream.windowed else None


def _sent_again(stream: Stream, position: int, answer: ItemWriter) -> ItemWriter:
    """Answer a client that has lost an answer with its connection. Raises PyroError when it is not here any more."""
    if position == stream.last_from and stream.last is not None:
        answer.answer_with(stream.last)
        return answer
    if position == stream.last_from:
        stream.last_from = -1  # once: it may go on behind them
        raise PyroError(
            f"items {position + 1:,} to {stream.sent:,} of this stream were lost with a connection, and are not kept"
        )
    raise PyroError(f"the client has {position:,} items of this stream, of which {stream.sent:,} were sent")


def _returned(end: StopIteration) -> bytes | None:
    """Return what a generator has returned, encoded; None where that cannot be sent."""
    try:
        return native.codec.encode(end.value)
    except Exception:
        return None


def _checked(most: Any, size: Any, position: Any) -> tuple[int, int, int]:
    """Return the numbers of a pull within their bounds. Raises TypeError and ValueError."""
    for value, what, least in (most, "most items", 1), (size, "most bytes", 1), (position, "position", 0):
        if type(value) is not int:
            raise TypeError(f"the {what} of a pull is an int, not {type(value).__name__}")
        if value < least:
            raise ValueError(f"the {what} of a pull is {least} or more, not {value:,}")
    return min(most, MOST_PULLED_ITEMS), min(size, MOST_PULLED_BYTES), position


def _tell(service: Service, error: Exception) -> None:
    """Report an error that travels behind items, and so is not what the call of the method ends with."""
    client: Any = current_context.client
    report(service, client, (service.objectsById.get(DAEMON_NAME), PULL, (), {}), error)
