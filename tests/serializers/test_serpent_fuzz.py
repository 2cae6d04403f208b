"""Serpent's text beside the serpent package, on good input and bad."""

from __future__ import annotations

import ast
import warnings
from typing import Any

import serpent
from hypothesis import example, given
from hypothesis import strategies as st
from peer_strategies import keys, mutated, mutations, same, values

from fastpyro.errors import SerializeError
from fastpyro.serializers._serpent import HEADER, SerpentCodec


def refuse(value: Any) -> Any:
    raise SerializeError(f"cannot be simplified: {value!r}")


def keep(class_name: str, data: dict[str, Any]) -> Any:
    return data


codec = SerpentCodec(refuse, keep)


@given(values)
@example(complex(0.0, -0.0))
@example([complex(-0.0, 1.0)])
def test_the_package_reads_what_we_write_and_the_other_way_round(value: Any) -> None:
    theirs = serpent.dumps(value, module_in_classname=True)
    assert codec.encode(value) == theirs
    expected = serpent.loads(theirs)
    if "__class__" not in repr(expected):  # a NaN, which stays a dict there
        assert same(codec.decode(theirs), expected)
    codec.decode(serpent.dumps(value, indent=True))


literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(keys, inner) | st.sets(keys, min_size=1),
    max_leaves=20,
)


@given(literals)
def test_literals_of_python_are_read_as_python_reads_them(value: Any) -> None:
    text = repr(value).replace("inf", "1e999")
    assert same(codec.decode(text.encode("utf-8", "surrogatepass")), ast.literal_eval(text))


SAMPLES = [
    serpent.dumps(sample)
    for sample in (
        {"a": [1, 2.5, "x\n\"'"], "b": (1,), "c": {1, 2}, "d": b"xx", (1, 2): 3 + 4j},
        [None, True, -5e10, 10**30],
        "é\x00€",
        ("object", "method", (1, "x"), {"k": [float("nan")]}),
    )
]


@given(st.sampled_from(SAMPLES), mutations, st.integers(0, 200))
def test_bad_text_is_an_error_and_nothing_else(sample: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    data = mutated(sample, changes, cut)
    try:
        value = codec.decode(data)
    except SerializeError:
        return
    if not data.startswith(HEADER):
        return  # Python insists on UTF-8 in comments, too
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = ast.literal_eval(data.decode("utf-8"))
    assert repr(value).replace("nan", "") == repr(expected).replace("nan", "") or "__class__" in repr(expected)


@given(st.binary(max_size=200) | st.text(alphabet="[](){}'\"\\,:0123456789.+-ejxbuN# \n", max_size=80).map(str.encode))
def test_any_bytes(data: bytes) -> None:
    for read in (codec.decode, codec.decode_call):
        try:
            read(data)
        except SerializeError:
            continue
