"""NumPy values: dtype, shape, order and every bit arrive; what could harm NumPy is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import native
from fastpyro.values.class_registry import from_state

INTEGERS = ["i1", "u1", "i2", "<u2", ">i4", "u4", "i8", ">u8"]
DTYPES = ["?", *INTEGERS, "f2", "f4", ">f8", "c8", "c16", "S3", "U2", ">U2", "M8[D]", "M8[25us]", "m8[ns]", "M8"]


def round_trip(value: Any) -> Any:
    return native.loads(native.dumps(value))


def same(left: Any, right: Any) -> bool:
    return (
        type(left) is type(right)
        and left.dtype == right.dtype
        and left.shape == right.shape
        and left.tobytes() == right.tobytes()
    )


def filled(dtype: str, count: int) -> Any:
    return numpy.arange(count).astype("i8").astype(dtype if dtype != "?" else "?")


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_each_dtype(dtype: str) -> None:
    value = filled(dtype, 6).reshape(2, 3)
    copy = round_trip(value)
    assert same(copy, value)
    assert copy.flags.writeable
    copy[0, 0] = copy[1, 1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_scalars_of_each_dtype(dtype: str) -> None:
    value = filled(dtype, 4)[3]
    assert same(round_trip(value), value)


def test_layouts() -> None:
    cube = numpy.arange(24.0).reshape(2, 3, 4)
    for value in (cube, cube.T, cube[:, ::2], cube[::-1], numpy.asfortranarray(cube), numpy.array(5), cube[0, 0, 0:0]):
        assert same(round_trip(value), value)
    assert round_trip(cube.T).flags.f_contiguous
    assert round_trip(numpy.zeros((0, 3), "i4")).shape == (0, 3)
    assert same(round_trip(numpy.broadcast_to(numpy.array(1.5), (2, 3))), numpy.full((2, 3), 1.5))


def test_large_array_is_owned_and_independent() -> None:
    value = numpy.arange(100_000)
    copy = round_trip(value)
    copy += 1
    assert copy.flags.owndata
    assert (copy - value == 1).all()


@given(st.lists(st.integers(0, 4), max_size=4), st.sampled_from(DTYPES), st.sampled_from("CF"))
def test_any_shape(shape: list[int], dtype: str, order: Any) -> None:
    count = int(numpy.prod(shape))
    value = filled(dtype, count).reshape(shape, order=order)
    assert same(round_trip(value), value)


@pytest.mark.parametrize("value", [b"a\0", b"", b"\0"])
def test_zeros_at_the_end_of_text_scalars(value: bytes) -> None:
    assert bytes(round_trip(numpy.bytes_(value))) == value
    assert str.__str__(round_trip(numpy.str_(value.decode()))) == value.decode()


def test_dtype_itself() -> None:
    assert round_trip(numpy.dtype(">f4")) == numpy.dtype(">f4")


@pytest.mark.parametrize(
    "value",
    [
        numpy.array([object()]),
        numpy.array([None, 1]),
        numpy.zeros(2, [("a", "i4"), ("b", "O")]),
        numpy.dtype("O"),
    ],
    ids=repr,
)
def test_what_does_not_travel(value: Any) -> None:
    with pytest.raises(SerializeError, match="NumPy"):
        native.dumps(value)


@pytest.mark.skipif(numpy.dtype("longdouble").itemsize == 8, reason="a long double is a double on this system")
def test_long_double_does_not_travel() -> None:
    with pytest.raises(SerializeError, match="64 bits"):
        native.dumps(numpy.longdouble(1))


@pytest.mark.parametrize(
    "state",
    [
        None,
        ("<f8", (1,), "C"),
        ("<f8", [1], "C", b"12345678"),
        ("<f8", (1,), "C", b"1234567"),
        ("<f8", (2**61,), "C", b""),
        ("<f8", (2**62, 2**62, 0), "C", b""),
        ("<f8", (2**40, 0), "C", b""),
        ("|S0", (2**40,), "C", b""),
        ("<U0", (1,), "C", b""),
        ("<f8", (-1, -1), "C", b"12345678"),
        ("<f8", (True,), "C", b"12345678"),
        ("<f8", (1,) * 65, "C", b"12345678"),
        ("<f8", (1,), "K", b"12345678"),
        ("<f8", (1,), [], b"12345678"),
        ("<f8", (1,), "C", "12345678"),
        ("O", (1,), "C", b"12345678"),
        ("|O", (1,), "C", b"12345678"),
        ("|V8", (1,), "C", b"1234567"),
        ("<f8,<f8", (1,), "C", b"1" * 16),
        ("(2,)f8", (1,), "C", b"1" * 16),
        ("<f16", (1,), "C", b"1" * 16),
        ("<M8[junk]", (1,), "C", b"12345678"),
        ("|S999999999", (1,), "C", b"1"),
        (5, (1,), "C", b"1"),
        ("|b1", (2,), "C", b"\1\2"),
        ("<U1", (1,), "C", b"\xff\xff\xff\xff"),
        (">U1", (1,), "C", b"\x00\x11\x00\x00"),
    ],
    ids=repr,
)
def test_hostile_arrays_are_refused(state: Any) -> None:
    with pytest.raises(SerializeError):
        from_state("numpy.ndarray", state)


@pytest.mark.parametrize(
    "state",
    [
        None,
        ("<f8",),
        ("<f8", b"1234567"),
        ("<f8", 1.5),
        ("|b1", b"\2"),
        ("<U1", b"abcd"),
        ("|S1", "a"),
        ("|O", b"12345678"),
        (["<f8"], b"12345678"),
    ],
    ids=repr,
)
def test_hostile_scalars_are_refused(state: Any) -> None:
    with pytest.raises(SerializeError):
        from_state("numpy.generic", state)


def test_receiver_without_numpy() -> None:
    program = f"""
import sys
sys.modules["numpy"] = None
from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import native
try:
    native.loads({native.dumps(numpy.float64(1.5))!r})
except SerializeError as error:
    print(error)
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "NumPy is not installed here" in shown.stdout
