"""The marshal format beside Python's own, on good input and bad."""

from __future__ import annotations

import marshal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from peer_strategies import mutated, mutations, same, values

from fastpyro.errors import SerializeError
from fastpyro.serializers._marshal import MarshalCodec


def refuse(value: Any) -> Any:
    raise SerializeError(f"cannot be simplified: {value!r}")


codec = MarshalCodec(refuse, lambda name, data: data)


@given(values, st.integers(0, 4))
def test_python_reads_what_we_write_and_the_other_way_round(value: Any, version: int) -> None:
    assert codec.encode(value) == marshal.dumps(value, 2)
    data = marshal.dumps(value, version)
    assert same(codec.decode(data), marshal.loads(data))


@given(values, st.integers(0, 4), mutations, st.integers(0, 60))
def test_bad_bytes_are_an_error_and_nothing_else(
    value: Any, version: int, changes: list[tuple[int, int]], cut: int
) -> None:
    data = mutated(marshal.dumps(value, version), changes, cut)
    try:
        read = codec.decode(data)
    except SerializeError:
        return
    assert repr(read) == repr(marshal.loads(data))  # what is good here is good there, and the same


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for read in (codec.decode, codec.decode_call):
        try:
            read(data)
        except SerializeError:
            continue
