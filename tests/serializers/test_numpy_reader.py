"""The dtypes of messages, and what arrays of them hold, are looked at before NumPy sees them."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from fastpyro.errors import SerializeError
from fastpyro.serializers._numpy_reader import build_dtype, build_ndarray, build_scalar, is_harmless_dtype

numpy = pytest.importorskip("numpy")

DTYPE = r"[<>|](?:b1|[iu][1248]|f[248]|c8|c16|[SUV][0-9]{1,9}|[mM]8(?:\[[0-9]{0,9}(?:[YMWDhms]|[munpfa]s)\])?)"


def test_the_pattern_of_dtypes() -> None:
    chosen = random.Random(5)
    kinds = [
        "b1",
        "i8",
        "f2",
        "f1",
        "c16",
        "S",
        "U",
        "S12",
        "m8",
        "M8",
        "V8",
        "O",
        "M8[",
        "[",
        "]",
        "us",
        "as",
        "ks",
        "1" * 9,
        "٣",
    ]
    texts = [
        chosen.choice(["<", ">", "|", "=", ""]) + "".join(chosen.choices(kinds, k=chosen.randrange(4)))
        for _ in range(20_000)
    ]
    times = [
        f"<M8[{count}{unit}]" for count in ("", "1", "9" * 9, "9" * 10, "a") for unit in ("Y", "us", "as", "xs", "")
    ]
    for text in (*texts, *times):
        assert is_harmless_dtype(text) == (re.fullmatch(DTYPE, text) is not None), text


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<i4", ">f8", "|b1", "<U2", ">U2", "|S3", "<M8[us]", "<c16"])
@pytest.mark.parametrize("shape", [(), (6,), (2, 3), (1, 1, 1), (0, 3)])
def test_arrays(dtype: str, shape: Any, order: Any) -> None:
    array = numpy.zeros(shape, dtype, order=order)
    built = build_ndarray("numpy.ndarray", (dtype, shape, order, array.tobytes(order)))
    assert (built.dtype, built.shape, built.tolist()) == (array.dtype, array.shape, array.tolist())
    assert built.flags.writeable
    assert built.flags.owndata
    assert built.flags.c_contiguous == array.flags.c_contiguous


def test_contents_that_numpy_does_not_make_are_refused() -> None:
    for state in (("|b1", (2,), "C", b"\1\2"), ("<U1", (1,), "C", b"\0\0\x11\0"), (">U1", (1,), "C", b"\0\x11\0\0")):
        with pytest.raises(SerializeError, match=r"neither 0 nor 1|beyond U\+10FFFF"):
            build_ndarray("numpy.ndarray", state)
    with pytest.raises(SerializeError, match="neither 0 nor 1"):
        build_scalar("numpy.generic", ("|b1", b"\2"))
    for text in ("|O8", "<i3", "x" * 30, 5):
        with pytest.raises(SerializeError):
            build_dtype("numpy.dtype", text)
