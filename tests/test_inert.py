"""Tripwires at every place of every message: reading one connects nowhere, opens nothing, and runs no code of an object.

Valid messages of each kind, serializer and dialect are taken apart, and each node of each is replaced by each tripwire. What
reads them runs here, in process: nothing may come of it but a value or a PyroError. What serves whole requests is in
test_inert_services.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from tripwires import (
    CLASS_DICTS,
    DICTS,
    ENCODERS,
    NATIVE,
    PEERS,
    PLACE,
    PROXY_DICT,
    STATES,
    Looked,
    registered,
    replaced,
    tripped,
    watched,
)

import fastpyro
from fastpyro.client import session
from fastpyro.errors import PyroError
from fastpyro.protocol import blobs
from fastpyro.protocol.peer_batches import read_batch, read_results
from fastpyro.serializers import registry as serializers


@pytest.fixture(autouse=True)
def classes() -> Iterator[None]:
    with registered():
        yield


def requests(content: Any) -> Iterator[Any]:
    """Yield what messages consist of, with a content in its place: calls, batches, handshakes, answers, replies."""
    yield ["o", "m", [content], {"a": content}]
    yield {"object": "o", "method": "m", "params": [content], "kwargs": {"a": content}}
    yield ["o", "<batch>", [["m", [content], {"a": content}]], {}]
    yield {"handshake": content, "object": "o"}
    yield {"handshake": content, "meta": {"methods": ["a"], "attrs": ["b"], "oneway": []}}
    yield [content, content]


def readers(name: str, dialect: int) -> list[Callable[[bytes], Any]]:
    """Return all that is done with a payload, on either side."""
    serializer = serializers.get_serializer(name, dialect)

    def batch(data: bytes) -> Any:
        return read_batch(serializer.loads_call(data))

    def results(data: bytes) -> Any:
        return read_results(serializer.loads(data))

    def error(data: bytes) -> Any:
        return session._error_in(serializer.loads(data))

    def annotation(data: bytes) -> Any:
        return blobs.read_blob_annotation(data, dialect)

    found: list[Callable[[bytes], Any]] = [serializer.loads, serializer.loads_call, error]
    if name != "native":
        found += [batch, results]
    else:
        from fastpyro.protocol._batch import decode_batch, decode_results

        codec = serializers.native.codec
        found += [lambda data: decode_batch(codec, data), lambda data: decode_results(codec, data)]
    return [*found, annotation] if name == "marshal" else found


def check(data: bytes, reading: list[Callable[[bytes], Any]]) -> None:
    for read in reading:
        watched(partial(read, data), told=data)


def contents(name: str) -> Iterator[Any]:
    wires, values = (NATIVE, STATES) if name == "native" else (DICTS, CLASS_DICTS)
    for wire in wires.values():
        for value in values:
            yield from replaced(value, wire)


@pytest.mark.parametrize("dialect", [502, 48])
@pytest.mark.parametrize("name", [*PEERS, "native"])
def test_values_are_inert_wherever_they_stand(name: str, dialect: int) -> None:
    reading, encode, count = readers(name, dialect)[:1], ENCODERS[name], 0
    for content in contents(name):
        check(encode([content]), reading)
        count += 1
    assert count > 300


@pytest.mark.parametrize("dialect", [502, 48])
@pytest.mark.parametrize("name", [*PEERS, "native"])
def test_each_part_of_each_message_may_be_anything(name: str, dialect: int) -> None:
    reading, encode = readers(name, dialect), ENCODERS[name]
    for wire in (NATIVE if name == "native" else DICTS).values():
        for message in requests("x"):
            for broken in replaced(message, wire):
                check(encode(broken), reading)
                if name == "native" and type(broken) is list:
                    check(encode(tuple(broken)), reading)


def test_a_hash_of_ones_own_sees_no_proxy() -> None:
    for wrap in (lambda key: {key: 1}, lambda key: {key}, lambda key: frozenset({(1, key)})):
        key = Looked()
        message = wrap(key)
        key.value = [fastpyro.Proxy(PLACE)]
        check(serializers.native.dumps(message), [serializers.native.loads])
        with pytest.raises(PyroError, match="holds no proxy"):
            serializers.native.loads(serializers.native.dumps(message))


def test_the_tripwires_do_trip() -> None:
    proxy = serializers.get_serializer("json", 48).loads(json.dumps(PROXY_DICT).encode())
    with pytest.raises(fastpyro.errors.CommunicationError):
        proxy._pyroBind()
    wire = serializers.native.loads(serializers.native.dumps(NATIVE["object"]))
    with pytest.raises(AssertionError):
        list(wire)
    assert tripped
