"""NumPy arrays with fields, masked and record arrays: exact where they travel, refused where a description lies."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpyro.errors import SerializeError
from fastpyro.serializers.numpy_records import MOST_FIELDS, MOST_LEVELS, describe, dtype_of, has_gaps, without_gaps
from fastpyro.serializers.registry import native
from fastpyro.values.class_registry import from_state


def round_trip(value: Any) -> Any:
    return native.loads(native.dumps(value))


def same(left: Any, right: Any) -> bool:
    return (
        type(left) is type(right)
        and left.dtype == right.dtype
        and left.dtype.type is right.dtype.type
        and left.dtype.isalignedstruct == right.dtype.isalignedstruct
        and left.shape == right.shape
        and (has_gaps(left.dtype) or left.tobytes() == right.tobytes())
        and str(left.tolist()) == str(right.tolist())
    )


POINT = [("x", "<f4"), ("y", ">f8")]
DTYPES: list[Any] = [
    numpy.dtype([("a", "i4"), ("b", ">f8"), ("c", "U5"), ("d", "S3"), ("e", "?"), ("f", "M8[us]")]),
    numpy.dtype([("p", POINT), ("q", POINT, (2, 3)), ("r", "?", (2,)), ("s", ">U2", (2,))]),
    numpy.dtype([("a", "i1"), ("b", "f8")], align=True),
    numpy.dtype({"names": ["b", "a"], "formats": ["i2", "i4"], "offsets": [8, 0], "itemsize": 16}),
    numpy.dtype([(("a title", "a"), "i4"), ("b", "V3")]),
    numpy.dtype((numpy.record, [("a", "i4")])),
    numpy.dtype([("", "i4"), ("", "i4")]),
    numpy.dtype([("é\n'", "i4")]),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_arrays_with_fields(dtype: Any) -> None:
    for value in (
        numpy.zeros((2, 3), dtype),
        numpy.zeros((0, 3), dtype),
        numpy.zeros((), dtype),
        numpy.zeros((4, 3), dtype).T,
    ):
        assert same(round_trip(value), value)
    copy = round_trip(numpy.zeros(3, dtype))
    copy[0] = copy[1]
    assert dtype_of("x", describe(dtype)) == round_trip(dtype) == dtype


def test_records() -> None:
    value = numpy.rec.array([(1, 2.5), (3, 4.5)], dtype=[("x", "i4"), ("y", "f8")])
    copy = round_trip(value)
    assert same(copy, value)
    assert copy.y.tolist() == [2.5, 4.5]
    for one in (value[0], numpy.zeros(1, POINT)[0], numpy.zeros(1, "V4")[0]):
        assert same(round_trip(one), one)
    item = round_trip(value[1])
    item.x = 7
    assert item.x == 7
    assert same(round_trip(numpy.zeros(3, "V8")), numpy.zeros(3, "V8"))


@pytest.mark.parametrize("mask", [[True, False, True], numpy.ma.nomask, False], ids=str)
@pytest.mark.parametrize("dtype", ["i8", ">f4", "U3", "?", "M8[D]", POINT], ids=str)
def test_masked_arrays(dtype: Any, mask: Any) -> None:
    for fill in (None, numpy.zeros(1, dtype)[0]):
        value: Any = numpy.ma.MaskedArray(numpy.zeros(3, dtype), mask=mask, fill_value=fill)
        copy: Any = round_trip(value)
        assert repr(type(copy)) == repr(numpy.ma.MaskedArray)
        assert same(numpy.asarray(copy._data), numpy.asarray(value._data))
        assert (copy._mask is numpy.ma.nomask) is (value._mask is numpy.ma.nomask)
        assert same(numpy.asarray(copy.mask), numpy.asarray(value.mask))
        assert str(copy.fill_value) == str(value.fill_value)
        assert copy.dtype == value.dtype
        copy[0] = numpy.ma.masked
        assert copy[0] is numpy.ma.masked or copy.mask[0] == numpy.ones(1, copy.mask.dtype)[0]


def test_hard_masks_and_the_constant() -> None:
    value = numpy.ma.array([1, 2], mask=[True, False], hard_mask=True)
    copy: Any = round_trip(value)
    copy[0] = 5
    assert copy.mask.tolist() == [True, False]
    assert round_trip([numpy.ma.masked])[0] is numpy.ma.masked


GAPS = [
    numpy.dtype([("p", [("a", "i1"), ("b", "f8")], (1,)), ("c", "i1")], align=True),
    numpy.dtype([("p", [("a", "i1"), ("b", "f8")]), ("c", "i1"), ("d", "i1", (3,))], align=True),
    numpy.dtype({"names": ["a", "c"], "formats": ["i1", "i1"], "offsets": [8, 20], "itemsize": 24}),
]


@pytest.mark.parametrize("dtype", GAPS, ids=["array", "record", "offsets"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_lies_between_fields_is_not_sent(order: Any, dtype: Any) -> None:
    value: Any = numpy.frombuffer(bytearray(b"secretss" * 12), dtype)[:4].reshape((2, 2), order=order)
    for name in dtype.names:
        if value[name].dtype.names is None:
            value[name] = 0
        else:
            value[name]["a"] = value[name]["b"] = 0
    assert has_gaps(value.dtype)
    assert b"ecre" in (value if order == "C" else value.T).tobytes()
    assert b"ecre" not in native.dumps(value)
    assert b"ecre" not in native.dumps(value[0, 0])
    assert same(round_trip(value), value)
    assert round_trip(value).flags.f_contiguous is value.flags.f_contiguous
    assert without_gaps(packed := numpy.zeros(2, POINT)) is packed


names = st.text(min_size=1, max_size=3)
simple = st.sampled_from(["<i4", ">f8", "|b1", "<U2", "|S3", "|V2", "<M8[ns]"])
dtypes = st.recursive(
    simple,
    lambda inner: st.lists(st.tuples(names, inner), min_size=1, max_size=4, unique_by=lambda field: field[0]),
    max_leaves=8,
)


@given(dtypes, st.integers(0, 3), st.booleans())
def test_any_dtype(dtype: Any, count: int, align: bool) -> None:
    value = numpy.zeros(count, numpy.dtype(dtype, align=align))
    assert same(round_trip(value), value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (numpy.zeros(2, [("a", "i4"), ("b", "O")]), "of dtype object: only numbers.*Send the fields"),
        (numpy.zeros(1, {"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [0, 2]}), "two fields at one place"),
        (numpy.ma.array([None], mask=[True]), "of dtype object"),
        (numpy.zeros(1, [(f"f{index}", "i1") for index in range(MOST_FIELDS + 1)]), "1,000 fields at the most"),
    ],
    ids=["object", "union", "masked objects", "many"],
)
def test_what_does_not_travel(value: Any, why: str) -> None:
    with pytest.raises(SerializeError, match=why):
        native.dumps(value)


def test_a_title_is_text() -> None:
    with pytest.raises(SerializeError, match="is \\(name, title, offset, dtype\\)"):
        native.dumps(numpy.zeros(1, numpy.dtype([((5, "a"), "i4")])))


def nested(levels: int) -> Any:
    description: Any = "<i4"
    for _ in range(levels):
        description = (False, 4, False, (("a", None, 0, description),))
    return description


FIELD = ("a", None, 0, "<i4")
LIES: list[Any] = [
    (),
    (1, 2, 3),
    ("<i4", ()),
    ("<i4", (0,)),
    ("<i4", (-1,)),
    ("<i4", [2]),
    ("<i4", (True,)),
    ("<i4", (2**31, 2**31)),
    ("|S0", (2**31,)),
    ("<i4", (1,) * 33),
    ("|O", (2,)),
    (1, 4, False, (FIELD,)),
    (False, 4, 1, (FIELD,)),
    (False, 4.0, False, (FIELD,)),
    (False, 3, False, (FIELD,)),
    (False, 2**40, False, (FIELD,)),
    (False, -4, False, (FIELD,)),
    (False, 8, False, [FIELD]),
    (False, 8, False, (FIELD, FIELD)),
    (False, 8, False, (FIELD, ("a", None, 4, "<i4"))),
    (False, 8, False, (FIELD, ("b", "a", 4, "<i4"))),
    (False, 8, False, (("a", None, -4, "<i4"),)),
    (False, 8, False, (("a", None, 2**63, "<i4"),)),
    (False, 8, False, ((b"a", None, 0, "<i4"),)),
    (False, 8, False, (("a", 5, 0, "<i4"),)),
    (False, 8, False, (("a", None, 0),)),
    (False, 8, False, (("a", None, 0, "|O"),)),
    (False, 8, False, (("a", None, 0, None),)),
    (False, 7, True, (("a", None, 1, "<i4"),)),
    (False, 4, False, tuple((f"f{index}", None, 0, "|S0") for index in range(MOST_FIELDS + 1))),
    nested(MOST_LEVELS + 1),
]


@pytest.mark.parametrize("description", LIES, ids=lambda description: repr(description)[:60])
def test_descriptions_that_lie_are_refused(description: Any) -> None:
    for name, state in (("numpy.dtype", description), ("numpy.generic", (description, b"12345678"))):
        with pytest.raises(SerializeError):
            from_state(name, state)
    with pytest.raises(SerializeError):
        from_state("numpy.ndarray", (description, (1,), "C", b"12345678"))


def test_what_the_items_of_an_array_are() -> None:
    for name, state in (("numpy.ndarray", (("|b1", (2,)), (1,), "C", b"\2\2")), ("numpy.generic", ("|V0", b""))):
        with pytest.raises(SerializeError):
            from_state(name, state)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("|b1", b"\1\2"),
        ("<U1", b"aa\xff\xff\xff\xff"),
        (">U1", b"aa\x00\x11\x00\x00"),
        (("|b1", (3,)), b"a\1\0\2"),
        ((False, 3, False, (("z", None, 1, "|b1"),)), b"aa\0\2\0"),
    ],
    ids=str,
)
def test_contents_that_numpy_could_not_have_made(kind: Any, data: bytes) -> None:
    size = dtype_of("x", kind).itemsize
    description = (False, len(data), False, (("a", None, len(data) - size, kind),))
    with pytest.raises(SerializeError, match=r"neither 0 nor 1|beyond"):
        from_state("numpy.ndarray", (description, (1,), "C", data))
    with pytest.raises(SerializeError, match=r"neither 0 nor 1|beyond"):
        from_state("numpy.generic", (description, data))


DATA = numpy.zeros(2)
MASK = numpy.zeros(2, bool)


@pytest.mark.parametrize(
    "state",
    [
        5,
        (DATA, MASK, None),
        ([1, 2], MASK, None, False),
        (DATA, MASK, None, 0),
        (DATA, [True, False], None, False),
        (DATA, numpy.zeros(3, bool), None, False),
        (DATA, numpy.zeros(2, "i1"), None, False),
        (DATA, numpy.zeros((2, 1), bool), None, False),
        (DATA, MASK, 5.0, False),
        (DATA, MASK, numpy.zeros(1), False),
        (DATA, MASK, numpy.zeros((), "i4"), False),
        (numpy.ma.array([1]), None, None, False),
    ],
    ids=lambda state: str(state)[:40],
)
def test_masked_arrays_that_lie_are_refused(state: Any) -> None:
    with pytest.raises(SerializeError):
        from_state("numpy.ma.MaskedArray", state)
    with pytest.raises(SerializeError):
        from_state("numpy.recarray", state)


def test_arrays_of_nothing_inside_an_item_are_refused() -> None:
    """A million empty records in each item: NumPy would go through all of them for one byte that arrived."""
    nothing = (False, 0, False, ())
    with pytest.raises(SerializeError, match="items of no bytes"):
        dtype_of("numpy.dtype", (False, 1, False, (("a", None, 0, "|u1"), ("b", None, 1, (nothing, (2**30,))))))
    with pytest.raises(SerializeError, match="items of no bytes"):
        native.dumps(numpy.zeros(2, [("a", "i1"), ("b", [], (3,))]))
