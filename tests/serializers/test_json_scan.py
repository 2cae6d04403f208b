"""The look at JSON before it is read: depth and numbers are bounded, brackets in strings are no brackets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpyro.errors import SerializeError
from fastpyro.serializers._json_scan import check_json


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_depth(opening: str) -> None:
    levels = 200 // (opening.count("[") + opening.count("{"))
    closing = "".join({"[": "]", "{": "}"}[mark] for mark in reversed(opening) if mark in "[{")
    check_json((opening * levels + "1" + closing * levels).encode())
    with pytest.raises(SerializeError, match="nested deeper than 200 levels"):
        check_json((opening * (levels + 1)).encode())
    check_json((f"[{opening * 2}1{closing * 2}]".replace("1", ",".join(["[]"] * 1000))).encode())


def test_brackets_in_strings() -> None:
    for value in ["[" * 1000, '"' * 9 + "{" * 1000, "\\" * 9 + "[" * 1000, {"[" * 1000: '\\"['}]:
        check_json(json.dumps([value, value]).encode())


@pytest.mark.parametrize("data", [b'"', b'"\\', b'"\\"', b"]]]][", b"\xff", b"", b"-", b"}}}}" * 1000, b'"' * 999])
def test_what_is_no_json_is_left_to_the_reader(data: bytes) -> None:
    check_json(data)


@pytest.mark.parametrize("number", ["1" * 5001, "-" + "1" * 5000, "0." + "1" * 5000, "1e" + "0" * 5000])
def test_long_numbers(number: str) -> None:
    with pytest.raises(SerializeError, match=r"a number of 5,00. characters"):
        check_json(f"[{number}]".encode())
    check_json(f"[{number[:5000]}]".encode())


@given(st.binary(max_size=200) | st.text(alphabet='[]{},:"\\0123456789.-+eEu ', max_size=80).map(str.encode))
def test_any_bytes(data: bytes) -> None:
    check_json(data)


@given(st.recursive(st.none() | st.floats() | st.integers() | st.text(), lambda some: st.lists(some)))
def test_any_value(value: Any) -> None:
    check_json(json.dumps(value).encode())
    check_json(json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass"))


def test_what_is_no_buffer() -> None:
    with pytest.raises(TypeError):
        check_json("text")  # type: ignore[arg-type]
