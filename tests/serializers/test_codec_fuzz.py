"""The value codec against any value and any bytes: always a value or SerializeError, the same as the plain codec's.

The plain codec is in `reference_codec.py`.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from reference_codec import NotAValue, ReferenceCodec, exact
from strategies import (
    CODEC,
    any_bytes,
    arguments,
    calls,
    encoded,
    from_state,
    keywords,
    mutated,
    names,
    to_state,
    values,
)

from fastpyro.errors import SerializeError

REFERENCE = ReferenceCodec(to_state, from_state)


def answer(decode: Callable[[Any], Any], data: Any) -> Any:
    """Return what decoding gives, in a form that can be compared."""
    try:
        return exact(decode(data))
    except (SerializeError, NotAValue):
        return "no value"


# ---- values ----------------------------------------------------------------------------------------------------------


@given(values)
def test_value_comes_back_exactly(value: Any) -> None:
    assert exact(CODEC.decode(CODEC.encode(value))) == exact(value)


@given(values)
def test_value_is_encoded_as_the_reference_does(value: Any) -> None:
    assert CODEC.encode(value) == REFERENCE.encode(value)


@given(names, names, arguments, keywords)
def test_call_comes_back_and_is_encoded_as_the_reference_does(
    object_id: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    data = CODEC.encode_call(object_id, method, args, kwargs)
    assert data == REFERENCE.encode_call(object_id, method, args, kwargs)
    assert exact(CODEC.decode_call(data)) == exact((object_id, method, args, kwargs))


# ---- bytes -----------------------------------------------------------------------------------------------------------


@given(any_bytes)
def test_any_bytes_give_what_the_reference_gives(data: bytes) -> None:
    assert answer(CODEC.decode, data) == answer(REFERENCE.decode, data)


@given(st.one_of(any_bytes, calls, st.builds(bytes.__add__, calls, st.binary(max_size=3))), st.data())
def test_any_bytes_as_a_call_give_what_the_reference_gives(data: bytes, draw: Any) -> None:
    changed = bytearray(data)
    if changed and draw.draw(st.booleans()):
        changed[draw.draw(st.integers(0, len(changed) - 1))] = draw.draw(st.integers(0, 255))
    assert answer(CODEC.decode_call, changed) == answer(REFERENCE.decode_call, bytes(changed))


@given(st.one_of(encoded, mutated()))
def test_any_buffer_gives_the_same(data: bytes) -> None:
    expected = answer(CODEC.decode, data)
    padded = memoryview(b"xyz" + data + b"z")[3:-1]
    assert [answer(CODEC.decode, form) for form in (bytearray(data), memoryview(data), padded)] == [expected] * 3


@given(encoded)
def test_no_prefix_is_a_value(data: bytes) -> None:
    for size in range(min(len(data), 200)):
        assert answer(CODEC.decode, data[:size]) == "no value"


@given(any_bytes)
def test_memory_is_bounded_by_the_bytes(data: bytes) -> None:
    answer(CODEC.decode, data)  # what is made once, such as a time zone, does not count
    tracemalloc.start()
    try:
        answer(CODEC.decode, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # An empty set, the costliest element, takes 216 bytes; the rest is for the error and this function.
    assert peak < 400 * len(data) + 20_000
