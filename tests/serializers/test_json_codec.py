"""JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastpyro.errors import SerializeError
from fastpyro.serializers.json_codec import JsonCodec, checked_call
from fastpyro.serializers.peer_rules import RULES
from fastpyro.values.class_registry import StateOf
from fastpyro.values.peer_dicts import PYRO5, ClassDicts

dicts = ClassDicts(PYRO5, RULES["json"])
codec = JsonCodec(dicts.simplify, dicts.build)


def test_values() -> None:
    value = [None, True, 1.5, 2**70, "é", {"k": [1]}]
    assert codec.decode(codec.encode(value)) == value
    assert codec.decode(codec.encode((1, {2}))) == [1, [2]]
    assert codec.decode(memoryview(b"[1]")) == [1]


def test_the_bytes_of_a_call() -> None:
    data = codec.encode_call("obj", "m", (1, "x"), {"k": 2})
    assert json.loads(data) == {"object": "obj", "method": "m", "params": [1, "x"], "kwargs": {"k": 2}}
    assert codec.decode_call(data) == ("obj", "m", [1, "x"], {"k": 2})


def test_states_are_written_as_class_dicts() -> None:
    assert codec.decode(codec.encode(StateOf("fastpyro.URI", ("PYRO", "x", None, "h", 1)))).host == "h"


@pytest.mark.parametrize("value", [b"x", 1j, {(1, 2): 3}, object()])
def test_what_cannot_be_written(value: Any) -> None:
    with pytest.raises(SerializeError):
        codec.encode(value)


@pytest.mark.parametrize("data", [b"", b"[", b"\xff", b"[1] 2", b"9" * 5000, b"[" * 100_000, b'{"a": nope}'])
def test_what_is_no_json(data: bytes) -> None:
    with pytest.raises(SerializeError, match=r"no JSON|nested deeper"):
        codec.decode(data)


@pytest.mark.parametrize("data", [b"1", b"[1]", b"{}", b'{"object": 1, "method": "m", "params": [], "kwargs": {}}'])
def test_what_is_no_call(data: bytes) -> None:
    with pytest.raises(SerializeError, match="a call"):
        codec.decode_call(data)


def test_checked_call() -> None:
    assert checked_call(("o", "m", [], None)) == ("o", "m", [], None)
    wrong: list[Any] = [1, ("o", "m", 1, {}), ("o", "m", (), []), ("o", "m", (), {1: 2}), (None, "m", (), {})]
    for call in wrong:
        with pytest.raises(SerializeError):
            checked_call(call)
