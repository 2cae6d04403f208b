"""Batches in the serializers of the peers, where a batch is a call whose arguments are calls, and its results are a list.

`_batch` does the same in the native form, without making values of what it need not.
"""

from __future__ import annotations

from itertools import chain

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.config import config
from fastpyro.errors import MessageTooLargeError, SerializeError
from fastpyro.protocol._batch import decode_batch, too_large
from fastpyro.serializers._codec import Codec
from fastpyro.values.checked import list_of, mapping_of, text_of, tuple_of
from fastpyro.values.class_registry import StateOf, from_state, is_own_name, to_state
from fastpyro.values.peer_dicts import FailedCall

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fastpyro.protocol._batch import BatchWriter
    from fastpyro.serializers.registry import Serializer

__all__ = ["ResultList", "read_batch", "read_results", "results_limit", "write_batch"]

BATCH_METHOD = "<batch>"

FIRST_STEP = 1 << 20
"""Bytes of results of which is told who watches them; as in `_batch`."""

OVERHEAD = 24
"""Bytes that a number takes, or what stands round a text."""

if TYPE_CHECKING:
    Calls = list[tuple[str, tuple[Any, ...], dict[str, Any] | None]]


def _half_built(class_name: str, state: Any) -> Any:
    # Objects of users' classes stay names and states, so that another serializer can write them.
    return from_state(class_name, state) if is_own_name(class_name) else StateOf(class_name, state)


_half_decoder = Codec(to_state, _half_built)


def read_batch(call: tuple[str, str, tuple[Any, ...], dict[str, Any]]) -> tuple[str, Calls]:
    """Return ``(object id, [(method, args, kwargs), …])`` of a decoded batch. Raises SerializeError for anything else."""
    object_id, method, items, _ = call
    if method != BATCH_METHOD:
        raise SerializeError(f"a batch has the method {BATCH_METHOD!r}")
    calls: Calls = []
    for item in items:
        name, args, kwargs = tuple_of(item, "a call in a batch", 3)
        text_of(name, "the method of a call in a batch")
        if kwargs is not None:
            mapping_of(kwargs, "the keyword arguments of a call in a batch")
        calls.append((name, tuple_of(args, "the arguments of a call in a batch"), kwargs or None))
    return object_id, calls


def write_batch(serializer: Serializer, writer: BatchWriter, object_id: str) -> Any:
    """Return the payload of a request for calls that were queued in the native form."""
    _, calls = decode_batch(_half_decoder, writer.payload(object_id))
    listed = [(name, args, kwargs or {}) for name, args, kwargs in calls]
    try:
        return serializer.dumps_call(object_id, BATCH_METHOD, listed, None)
    except SerializeError as error:
        from fastpyro.values.refused_paths import located, of_call  # nobody needs it before that

        places = (of_call(args, kwargs, f"calls[{index}].") for index, (_, args, kwargs) in enumerate(calls))
        raise located(error, chain.from_iterable(places), serializer.expand, serializer.dumps) from error.__cause__


def read_results(values: Any) -> tuple[list[Any], BaseException | None]:
    """Return ``(results, error that ended the batch or None)`` of a decoded reply. Raises SerializeError."""
    results = list_of(values, "the results of a batch")
    if results and type(results[-1]) is FailedCall:
        return results[:-1], results[-1].exception
    return results, None


def results_limit() -> int:
    """Return the bytes that the results of a batch may have."""
    sizes = [size for size in (config.MAX_BATCH_RESULTS, config.MAX_MESSAGE_SIZE) if size]
    return min(sizes, default=0)


class ResultList:
    """The results of a batch, in the making.

    Arguments: ``serializer``, which will write them; ``limit``, the bytes that they may have (0: any number).
    Attribute: ``values``, the results so far.
    """

    def __init__(self, serializer: Serializer, limit: int = 0) -> None:
        self.values: list[Any] = []
        self._serializer = serializer
        self._limit = limit
        self._size = 0
        self._next_step = 1 << 62
        self._on_growth: Callable[[int, int], None] | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def size(self) -> int:
        """How many bytes they will have, about; 0 where nothing depends on it."""
        return self._size

    def watch(self, on_growth: Callable[[int, int], None]) -> None:
        """Call ``on_growth(bytes, count)`` when they have grown to 1 MiB, and whenever they are twice as large."""
        self._on_growth = on_growth
        self._next_step = FIRST_STEP

    def add(self, value: Any) -> None:
        """Append a result. Raises MessageTooLargeError when the results would become too large."""
        if self._limit or self._on_growth:
            size = self._size + self._size_of(value)
            if 0 < self._limit < size:
                raise MessageTooLargeError(too_large(len(self.values), self._limit))
            self._size = size
            while size >= self._next_step and self._on_growth is not None:
                self._next_step *= 2
                self._on_growth(size, len(self.values) + 1)
        self.values.append(value)

    def _size_of(self, value: Any) -> int:
        # All of them are written at the end, in one value; this only finds out how large one is.
        kind = type(value)
        if kind is str or kind is bytes:
            return len(value) + OVERHEAD
        if value is None or kind is bool or kind is float:
            return OVERHEAD
        try:
            return len(self._serializer.dumps(value))
        except SerializeError as error:
            from fastpyro.values.refused_paths import located  # nobody needs it before that

            place = f"results[{len(self.values)}]", value
            raise located(error, [place], self._serializer.expand, self._serializer.dumps) from error.__cause__

    def add_error(self, error: Any) -> None:
        """Append the exception that ended the batch."""
        self.values.append(FailedCall(error))

    def payload(self) -> bytes:
        """Return the payload of the reply. Raises SerializeError when a result cannot be encoded."""
        return self._serializer.dumps(self.values)
