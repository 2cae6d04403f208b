"""What the formats of Pyro's peers have in common: calls, and objects that become dicts and come back."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from fastpyro.errors import SecurityError, SerializeError
from fastpyro.serializers._marshal import MarshalCodec
from fastpyro.serializers._msgpack import MsgpackCodec
from fastpyro.serializers._peer_codec import PeerCodec
from fastpyro.serializers._serpent import SerpentCodec

pytestmark = pytest.mark.parametrize("format_", [MarshalCodec, MsgpackCodec, SerpentCodec])


def refuse(value: Any) -> Any:
    raise SerializeError(f"cannot be simplified: {type(value).__name__}")


def keep(class_name: str, data: dict[str, Any]) -> Any:
    return class_name, data


def test_classes(format_: type[PeerCodec]) -> None:
    inner = {"__class__": "B"}
    codec = format_(refuse, keep)
    data = codec.encode([{"__class__": "A", "x": inner}, {"__class__": 1}])
    assert codec.decode(data) == [("A", {"__class__": "A", "x": ("B", inner)}), {"__class__": 1}]

    def security(*_: Any) -> Any:
        raise SecurityError("no")

    def other(*_: Any) -> Any:
        raise RuntimeError("broken")

    with pytest.raises(SecurityError):
        format_(refuse, security).decode(data)
    with pytest.raises(SerializeError, match=r"cannot build an object of class 'B': .*broken"):
        format_(refuse, other).decode(data)


def test_what_an_object_becomes(format_: type[PeerCodec]) -> None:
    codec = format_(lambda value: {"k": 1}, keep)
    assert codec.decode(codec.encode([object()])) == [{"k": 1}]
    loop: list[Any] = []
    loop.append(loop)
    for value in (loop, object()):
        with pytest.raises(SerializeError):
            format_(refuse, keep).encode(value)
    with pytest.raises(SerializeError, match="nested deeper"):
        format_(lambda value: value, keep).encode(object())


def test_calls(format_: type[PeerCodec]) -> None:
    codec = format_(refuse, keep)
    for args, kwargs in (((1,), {"k": 2}), ([1], None)):
        object_id, method, positional, named = codec.decode_call(codec.encode_call("o", "m", args, kwargs))
        assert (object_id, method, list(positional), named) == ("o", "m", list(args), kwargs)
    wrong: list[Any] = [
        1,
        ("o", "m", ()),
        (1, "m", (), {}),
        ("o", 1, (), {}),
        ("o", "m", 1, {}),
        ("o", "m", (), {1: 2}),
    ]
    for call in wrong:
        with pytest.raises(SerializeError, match="a call is"):
            codec.decode_call(codec.encode(call))


@pytest.mark.parametrize("data", [b"\xc1", b"\xc1" * 20_000])
def test_the_collector_goes_on(format_: type[PeerCodec], data: bytes) -> None:
    """After a big message that cannot be read, too; and it stays off for whoever had turned it off."""
    codec = format_(refuse, keep)
    with pytest.raises(SerializeError):
        codec.decode(data)
    assert gc.isenabled()
    gc.disable()
    try:
        codec.decode(codec.encode([1] * 20_000))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_buffer_is_given_back(format_: type[PeerCodec]) -> None:
    codec = format_(refuse, keep)
    data = bytearray(codec.encode([1, "two"]))
    assert codec.decode(memoryview(data)) == [1, "two"]
    data.append(0)  # which a buffer that is held would forbid
    with pytest.raises(SerializeError):
        codec.decode(data)
    data.append(0)
