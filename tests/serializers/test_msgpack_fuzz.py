"""The peers' msgpack beside the package and Pyro5's own serializer, on good input and bad."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peer_strategies import mutated, mutations, nested, same

from fastpyro.errors import SerializeError
from fastpyro.serializers._msgpack import MsgpackCodec

core = nested(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    st.text() | st.integers(0, 99),
)
theirs = nested(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)),
    st.text(),
)


def refuse(value: Any) -> Any:
    raise SerializeError(f"cannot be simplified: {value!r}")


codec = MsgpackCodec(refuse, lambda name, data: data)


@given(core)
def test_the_package_reads_what_we_write_and_the_other_way_round(value: Any) -> None:
    data = msgpack.packb(value)
    assert codec.encode(value) == data
    assert same(codec.decode(data), msgpack.unpackb(data, strict_map_key=False))


@given(theirs)
def test_pyro5_writes_and_reads_the_same(value: Any) -> None:
    serializers = pytest.importorskip("Pyro5.serializers", reason="Pyro5 is not installed")
    serializer = serializers.serializers["msgpack"]
    data = serializer.dumps(value)
    assert codec.encode(value) == data
    assert same(codec.decode(data), serializer.loads(data))


@given(theirs, mutations, st.integers(0, 50))
def test_bad_bytes_are_an_error_and_nothing_else(value: Any, changes: list[tuple[int, int]], cut: int) -> None:
    data = mutated(codec.encode(value), changes, cut)
    for read in (codec.decode, codec.decode_call):
        try:
            read(data)
        except SerializeError:
            continue


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for read in (codec.decode, codec.decode_call):
        try:
            read(data)
        except SerializeError:
            continue
