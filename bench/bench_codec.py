"""Values and their bytes, without a message: what a call costs in `_codec`, and how that compares with msgspec.

The comparison runs both libraries in turns, so that a busy machine slows both. It is made when benches are timed
(`make bench`); otherwise each case runs once, as a test.
"""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from fastpyro.protocol._batch import BatchWriter, decode_batch
from fastpyro.serializers.registry import native

CODEC = native.codec
ECHO = ["hello", 42, {"key": [1, 2, 3]}]
ROWS = [{"id": number, "name": f"name{number}", "value": number * 1.5, "ok": True} for number in range(1000)]
MIXED = [(1, 2.5), {1, 2, 3}, datetime.datetime(2026, 1, 2), 10**30, bytearray(b"abc"), "日本"]
MIB = 1 << 20

MOST_ACCEPTABLE = 1.5
"""How many times as long as msgspec, written in C for plain msgpack alone, the codec may take for plain values."""


@pytest.mark.benchmark(group="codec: encode")
@pytest.mark.parametrize("value", [ECHO, ROWS, MIXED, bytes(MIB)], ids=["echo", "1000 dicts", "mixed", "1 MiB"])
def test_encode(benchmark: Any, value: Any) -> None:
    data = benchmark(CODEC.encode, value)
    assert CODEC.decode(data) == value


@pytest.mark.benchmark(group="codec: decode")
@pytest.mark.parametrize("value", [ECHO, ROWS, MIXED, bytes(MIB)], ids=["echo", "1000 dicts", "mixed", "1 MiB"])
def test_decode(benchmark: Any, value: Any) -> None:
    assert benchmark(CODEC.decode, CODEC.encode(value)) == value


@pytest.mark.benchmark(group="codec: call")
def test_encode_an_echo_call(benchmark: Any) -> None:
    data = benchmark(CODEC.encode_call, "obj_0123456789", "echo", ("hello", 42), {"key": [1, 2, 3]})
    assert CODEC.decode_call(data) == ("obj_0123456789", "echo", ("hello", 42), {"key": [1, 2, 3]})


@pytest.mark.benchmark(group="codec: call")
def test_decode_an_echo_call(benchmark: Any) -> None:
    data = CODEC.encode_call("obj_0123456789", "echo", ("hello", 42), {"key": [1, 2, 3]})
    assert benchmark(CODEC.decode_call, data)[2:] == (("hello", 42), {"key": [1, 2, 3]})


@pytest.mark.benchmark(group="codec: batch")
def test_batch_of_100_calls(benchmark: Any) -> None:
    def work() -> Any:
        writer = BatchWriter(CODEC)
        for number in range(100):
            writer.add("method", (number, "text"))
        return decode_batch(CODEC, writer.payload("object"))

    _, calls = benchmark(work)
    assert calls[99] == ("method", (99, "text"), None)


def seconds(action: Callable[[], Any], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        action()
    return time.perf_counter() - began


@pytest.mark.benchmark(group="codec: beside msgspec")
@pytest.mark.parametrize(("value", "times"), [(ECHO, 1000), (ROWS, 3)], ids=["echo", "1000 dicts"])
def test_encoding_and_decoding_beside_msgspec(benchmark: Any, value: Any, times: int) -> None:
    encoder, decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder()

    def ours() -> Any:
        return CODEC.decode(CODEC.encode(value))

    def theirs() -> Any:
        return decoder.decode(encoder.encode(value))

    assert ours() == theirs() == value
    if benchmark.enabled:
        ratio = statistics.median(seconds(ours, times) / seconds(theirs, times) for _ in range(60))
        benchmark.extra_info["times as long as msgspec"] = round(ratio, 2)
        assert ratio <= MOST_ACCEPTABLE
    benchmark(ours)
