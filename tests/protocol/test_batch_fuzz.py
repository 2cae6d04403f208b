"""Batches against any bytes: always calls or results, or SerializeError, and the same as the plain codec's."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from reference_codec import NotAValue, ReferenceCodec, exact
from strategies import CODEC, any_bytes, arguments, from_state, keywords, mutated, names, soup, to_state, values

from fastpyro.errors import SerializeError
from fastpyro.protocol._batch import BatchWriter, ResultWriter, decode_batch, decode_results

REFERENCE = ReferenceCodec(to_state, from_state)
calls_lists = st.lists(st.tuples(names, arguments, st.none() | keywords), max_size=4)


def batch(object_id: str, calls: Any) -> bytes:
    writer = BatchWriter(CODEC)
    for method, args, kwargs in calls:
        writer.add(method, args, kwargs)
    return writer.payload(object_id)


def results(found: list[Any]) -> bytes:
    writer = ResultWriter(CODEC)
    for value in found:
        writer.add(value)
    payload: bytes = writer.payload()
    return payload


@st.composite
def changed(draw: Any, messages: st.SearchStrategy[bytes]) -> bytes:
    data = bytearray(draw(messages))
    for _ in range(draw(st.integers(0, 2))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255) | st.sampled_from(list(soup_codes)))
    return bytes(data)


soup_codes = b"\x80\x90\x93\x94\xc0\xc7\xc9\xdc\xdd\xff"


@given(names, calls_lists)
def test_calls_come_back(object_id: str, calls: Any) -> None:
    expected = [(method, args, kwargs or None) for method, args, kwargs in calls]
    found_id, found = decode_batch(CODEC, batch(object_id, calls))
    assert exact(found) == exact(expected)
    assert found_id == object_id


@given(st.lists(values, max_size=5))
def test_results_come_back(found: list[Any]) -> None:
    decoded, error = decode_results(CODEC, results(found))
    assert exact(decoded) == exact(found)
    assert error is None


@given(st.one_of(any_bytes, changed(st.builds(batch, names, calls_lists))))
def test_any_bytes_are_calls_or_an_error(data: bytes) -> None:
    try:
        object_id, calls = decode_batch(CODEC, data)
    except SerializeError:
        return
    read_id, method, args, kwargs = REFERENCE.decode_call(data)  # a batch is a call
    assert (read_id, method, kwargs) == (object_id, "<batch>", {})
    assert exact([(name, list(some), keys) for name, some, keys in calls]) == exact([tuple(call) for call in args])


@given(st.one_of(any_bytes, changed(st.lists(values, max_size=4).map(results)), mutated(), soup))
def test_any_bytes_are_results_or_an_error(data: bytes) -> None:
    try:
        expected = REFERENCE.decode(data)
        good = type(expected) is list
    except NotAValue:
        good = False
    try:
        found, error = decode_results(CODEC, data)
    except SerializeError:
        assert not good
        return
    assert good
    assert exact(found) == exact(expected)
    assert error is None
