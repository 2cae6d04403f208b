"""Batches of calls and of results: whole or refused, and unchanged by a call that cannot be encoded."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import msgpack
import pytest
from strategies import Point, from_state, make_codec, to_state

from fastpyro.errors import LocalProtocolError, MessageTooLargeError, SerializeError
from fastpyro.protocol._batch import BatchWriter, ResultWriter, decode_batch, decode_results
from fastpyro.serializers._codec import Codec

CODEC = make_codec()


def error_to_state(value: Any) -> tuple[str | None, Any]:
    return ("error", value.args) if isinstance(value, BaseException) else to_state(value)


def error_from_state(class_name: str, state: Any) -> Any:
    return ValueError(*state) if class_name == "error" else from_state(class_name, state)


ERRORS = Codec(error_to_state, error_from_state)

CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any] | None]] = [
    ("first", (), None),
    ("second", (1, "two", (3,)), {"key": [4]}),
    ("third", tuple(range(20)), {f"k{n}": n for n in range(20)}),
]


def batch_of(calls: list[Any]) -> BatchWriter:
    writer = BatchWriter(CODEC)
    for method, args, kwargs in calls:
        writer.add(method, args, kwargs)
    return writer


# ---- calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 3])
def test_calls_come_back(count: int) -> None:
    writer = batch_of(CALLS[:count])
    assert len(writer) == count
    assert decode_batch(CODEC, writer.payload("object")) == ("object", CALLS[:count])


def test_100_000_calls_come_back() -> None:
    writer = BatchWriter(CODEC)
    for number in range(100_000):
        writer.add("method", (number,))
    object_id, calls = decode_batch(CODEC, writer.payload("object"))
    assert (object_id, len(calls), calls[-1]) == ("object", 100_000, ("method", (99_999,), None))


def test_batch_is_plain_msgpack() -> None:
    data = batch_of([("m", (1,), {"k": 2}), ("n", (), {})]).payload("object")
    assert msgpack.unpackb(data) == ["object", "<batch>", [["m", [1], {"k": 2}], ["n", [], None]], None]


def test_arguments_are_what_they_were_when_they_were_added() -> None:
    items = [1]
    writer = batch_of([("method", (items,), None)])
    items.append(2)
    assert decode_batch(CODEC, writer.payload("object"))[1] == [("method", ([1],), None)]


def test_payload_may_be_taken_again_and_for_another_object() -> None:
    writer = batch_of(CALLS)
    assert writer.payload("object") == writer.payload("object")
    assert decode_batch(CODEC, writer.payload("é" * 100))[0] == "é" * 100


def test_clear_and_copy() -> None:
    writer = batch_of(CALLS)
    copied = writer.copy()
    writer.clear()
    assert (len(writer), len(copied)) == (0, 3)
    copied.add("fourth", ())
    assert decode_batch(CODEC, writer.payload("o")) == ("o", [])
    assert decode_batch(CODEC, copied.payload("o")) == ("o", [*CALLS, ("fourth", (), None)])


@pytest.mark.parametrize(
    "wrong", [("method", (1, object())), ("method", ("x" * 5000, object())), ("m", (), {"k": object()})]
)
def test_call_that_cannot_be_encoded_leaves_the_batch_as_it_was(wrong: Any) -> None:
    writer = batch_of(CALLS)
    before = writer.payload("object")
    with pytest.raises(SerializeError, match="cannot serialize an object of type object"):
        writer.add(*wrong)
    assert len(writer) == 3
    assert writer.payload("object") == before
    writer.add("fourth", (4,))
    assert decode_batch(CODEC, writer.payload("object"))[1] == [*CALLS, ("fourth", (4,), None)]


@pytest.mark.parametrize("wrong", [(None, ()), (b"m", ()), ("m", []), ("m", None), ("m", (), [])])
def test_types_of_a_call(wrong: Any) -> None:
    writer = BatchWriter(CODEC)
    with pytest.raises(TypeError):
        writer.add(*wrong)
    assert len(writer) == 0


@pytest.mark.parametrize("kind", [BatchWriter, ResultWriter])
@pytest.mark.parametrize("codec", [None, "codec"])
def test_writers_need_a_codec(kind: Any, codec: Any) -> None:
    with pytest.raises(TypeError):
        kind(codec)
    with pytest.raises(TypeError):
        kind.__new__(kind)


@pytest.mark.parametrize("action", ["add", "payload", "clear", "copy"])
def test_object_that_is_added_cannot_use_the_batch(action: str) -> None:
    def meddle(value: Any) -> tuple[str | None, Any]:
        arguments: dict[str, tuple[Any, ...]] = {"add": ("inner", ()), "payload": ("object",)}
        getattr(writer, action)(*arguments.get(action, ()))
        return None, 1

    writer = BatchWriter(Codec(meddle, from_state))
    writer.add("before", ())
    with pytest.raises(LocalProtocolError, match="this batch is being added to"):
        writer.add("outer", (object(),))
    assert decode_batch(CODEC, writer.payload("o")) == ("o", [("before", (), None)])


# ---- bytes that are no batch -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        [],
        ["o", "<batch>", []],
        ["o", "method", [], None],
        [1, "<batch>", [], None],
        ["o", "<batch>", None, None],
        ["o", "<batch>", [], {}],
        ["o", "<batch>", [["m", []]], None],
        ["o", "<batch>", [["m", [], None, 1]], None],
        ["o", "<batch>", [[1, [], None]], None],
        ["o", "<batch>", [["m", None, None]], None],
        ["o", "<batch>", [["m", [], []]], None],
        ["o", "<batch>", [["m", [], {1: 2}]], None],
        ["o", "<batch>", ["m"], None],
    ],
    ids=repr,
)
def test_value_that_is_no_batch(value: Any) -> None:
    with pytest.raises(SerializeError, match="invalid data"):
        decode_batch(CODEC, CODEC.encode(value))


def test_every_prefix_and_every_tail_is_refused() -> None:
    data = batch_of(CALLS[:2]).payload("object")
    for wrong in [*(data[:size] for size in range(len(data))), data + b"\0"]:
        with pytest.raises(SerializeError):
            decode_batch(CODEC, wrong)


@pytest.mark.parametrize("count", [0xFFFFFFFF, 0x80000000, 5000])
def test_claims_take_no_memory(count: int) -> None:
    claim = b"\xdd" + struct.pack("!I", count) + b"\x93\xa1m\x90\xc0" * 100
    tracemalloc.start()
    try:
        with pytest.raises(SerializeError, match="claims"):
            decode_batch(CODEC, b"\x94\xa1o\xa7<batch>" + claim)
        with pytest.raises(SerializeError, match="claims"):
            decode_results(CODEC, claim)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


# ---- results ---------------------------------------------------------------------------------------------------------


def results_of(values: list[Any], error: BaseException | None = None) -> bytes:
    writer = ResultWriter(ERRORS)
    for value in values:
        writer.add(value)
    if error is not None:
        writer.add_error(error)
    assert len(writer) == len(values) + (error is not None)
    size, payload = writer.size, writer.payload()
    joined = payload if isinstance(payload, bytes) else b"".join(payload)
    assert size == len(joined)
    return joined


@pytest.mark.parametrize("values", [[], [None], [1, "two", (3,), {4}, Point(5)], list(range(1000)), ["x" * 70_000]])
def test_results_come_back(values: list[Any]) -> None:
    assert decode_results(ERRORS, results_of(values)) == (values, None)


@pytest.mark.parametrize("text", ["", "a text", "x" * 300, "x" * 70_000])
@pytest.mark.parametrize("values", [[], [1, "two"]])
def test_error_comes_back_behind_the_results(values: list[Any], text: str) -> None:
    found, error = decode_results(ERRORS, results_of(values, ValueError(text)))
    assert found == values
    assert (type(error), error and error.args) == (ValueError, (text,))


@pytest.mark.parametrize("error", [None, ValueError("behind")])
def test_big_results_come_in_parts_that_are_written_once(error: BaseException | None) -> None:
    values: list[Any] = [1, b"x" * (1 << 20), "two", b"y" * (3 << 19), b"z" * (1 << 20)]
    found, found_error = decode_results(ERRORS, results_of(values, error))
    assert found == values
    assert str(found_error) == str(error)
    writer = ResultWriter(ERRORS, limit=1 << 22)
    for value in values:
        writer.add(value)
    with pytest.raises(MessageTooLargeError):
        writer.add(b"x" * (1 << 20))
    assert [len(part) for part in writer.payload()] == [
        5 + 1 + 5 + (1 << 20),
        4 + 5 + (3 << 19),
        5 + (1 << 20),
    ]


def test_exception_that_is_a_result_is_a_result() -> None:
    found, error = decode_results(ERRORS, results_of([ValueError("a value")]))
    assert [str(one) for one in found] == ["a value"]
    assert error is None


def test_result_that_cannot_be_encoded_leaves_the_results_as_they_were() -> None:
    writer = ResultWriter(ERRORS)
    writer.add(1)
    with pytest.raises(SerializeError):
        writer.add(["x" * 5000, object()])
    with pytest.raises(SerializeError):
        writer.add_error(ValueError(object()))
    writer.add(2)
    assert decode_results(ERRORS, writer.payload()) == ([1, 2], None)


def failure(body: bytes, size: int | None = None) -> bytes:
    return b"\xc9" + struct.pack("!I", len(body) if size is None else size) + b"\x0d" + body


GOOD_ERROR = ERRORS.encode(ValueError("text"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"\x91",
        b"\x92" + failure(GOOD_ERROR) + b"\x01",
        b"\x91" + failure(GOOD_ERROR, len(GOOD_ERROR) - 1),
        b"\x91" + failure(GOOD_ERROR, len(GOOD_ERROR) + 1),
        b"\x91" + failure(GOOD_ERROR, len(GOOD_ERROR) + 1) + b"\0",
        b"\x91" + failure(b"\x01" * 3),
        b"\x91" + failure(b"\x01" + bytes(0), 1) + b"\0",
        b"\x91" + failure(ERRORS.encode("no exception")),
        b"\x91" + failure(failure(GOOD_ERROR)),
        b"\x91" + failure(b""),
        b"\x91\xc7\x01\x0d",
        b"\x91\xc7",
        b"\x91\xc9\0\0\0\0",
        b"\x91" + failure(GOOD_ERROR) + b"\0",
    ],
)
def test_bytes_that_are_no_results(data: bytes) -> None:
    with pytest.raises(SerializeError):
        decode_results(ERRORS, data)


def test_every_prefix_and_every_changed_bit_of_results() -> None:
    data = bytearray(results_of([1, "two", {"k": (3,)}], ValueError("text")))
    for size in range(len(data)):
        with pytest.raises(SerializeError):
            decode_results(ERRORS, data[:size])
    for position in range(len(data) * 8):
        data[position // 8] ^= 1 << position % 8
        try:
            values, error = decode_results(ERRORS, data)
        except SerializeError:
            pass
        else:
            assert type(values) is list
            assert error is None or isinstance(error, BaseException)
        data[position // 8] ^= 1 << position % 8


def test_results_stop_at_the_limit() -> None:
    writer = ResultWriter(ERRORS, 10_000)
    for _ in range(2):
        writer.add("x" * 4000)
    with pytest.raises(MessageTooLargeError, match=r"call 3 the results of this batch exceed 10,000 bytes"):
        writer.add("x" * 4000)
    assert len(writer) == 2
    writer.add_error(ValueError("why"))
    values, error = decode_results(ERRORS, writer.payload())
    assert values == ["x" * 4000] * 2
    assert isinstance(error, ValueError)
