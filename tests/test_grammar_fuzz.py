"""Messages written by hand from each format's grammar, right and slightly wrong: a value or a SerializeError.

`grammar/` writes them. Hypothesis draws a seed, and each seed gives some dozens of messages, so that hundreds of
thousands take minutes; a failure shows the bytes.
"""

from __future__ import annotations

import ast
import json
import marshal
import random
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from grammar import native
from grammar.peers import PEERS
from grammar.pieces import changed, render
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_codec import NotAValue, ReferenceCodec

import fastpyro
from fastpyro.constants import PROTOCOL_VERSION
from fastpyro.errors import ProtocolError, PyroError, SecurityError, SerializeError
from fastpyro.protocol._batch import decode_batch, decode_results
from fastpyro.protocol.blobs import read_blob_annotation
from fastpyro.protocol.peer_batches import read_batch, read_results
from fastpyro.serializers.registry import get_serializer
from fastpyro.values import class_registry
from fastpyro.values._memory_budget import most_memory

PIECES = [1, 3, 10, 30, 100]
MESSAGES = 3
"""For each seed: as many good ones, and twice as many wrong ones."""

SECONDS = 5.0
"""Of CPU for a message of some KB, sanitizers included: what is not linear takes far longer at once."""


@fastpyro.register_class(name="grammar.Node")
@dataclass(frozen=True)
class Node:
    """An object that can be a key, and that can hold anything."""

    inner: Any


@fastpyro.register_class(name="grammar.Slots")
class Slots:
    """An object without a dict."""

    __slots__ = ("inner", "more")


@fastpyro.register_class(name="grammar.Named")
class Named(NamedTuple):
    """A tuple with a class."""

    first: Any
    second: Any


@fastpyro.register_class(name="grammar.Kind")
class Kind(Enum):
    """A member is a key, too."""

    ZERO = 0
    ONE = 1


@fastpyro.register_class(name="grammar.Mapping")
class Mapping(dict):  # type: ignore[type-arg]
    """A dict with a class."""


@fastpyro.register_exception(name="grammar.Trouble")
class Trouble(ValueError):
    """An exception that arrives as itself."""


def fail(class_name: str, state: Any) -> Any:
    raise ZeroDivisionError(class_name)


fastpyro.register_dict_to_class("grammar.Fails", fail)

NATIVE = get_serializer("native")
REFERENCE = ReferenceCodec(class_registry.to_state, class_registry.from_state)
BUFFERS = [b"first", memoryview(b"second")]
seeds = st.integers(0, 2**64 - 1)
few = settings(max_examples=max(settings().max_examples // 8, 10))  # each of which is many messages


def described(value: Any) -> Any:
    """Return what a decoded value consists of, in a form that can be compared: NaN is NaN, and sets have no order."""
    kind = type(value)
    if kind in (list, tuple, Named):
        return kind, [described(item) for item in value]
    if kind in (set, frozenset):
        return kind, sorted(repr(described(item)) for item in value)
    if kind in (dict, Mapping):
        return kind, [(described(key), described(item)) for key, item in value.items()]
    if kind is Node:
        return kind, described(value.inner)
    if kind is Slots:
        return kind, [described(getattr(value, name, "nothing")) for name in Slots.__slots__]
    if kind is slice:
        return kind, [described(part) for part in (value.start, value.stop, value.step)]
    if kind is fastpyro.URI:
        return kind, str(value)
    if kind is fastpyro.Proxy:
        return kind, str(value._pyroUri)
    if isinstance(value, BaseException):
        return kind, described(vars(BaseException)["args"].__get__(value)), described(vars(value))
    if kind is memoryview:
        return kind, bytes(value)
    if kind.__module__ == "numpy":
        return kind, getattr(value, "shape", None), str(getattr(value, "dtype", value)), repr(value)
    if kind is Fraction:
        return kind, hex(value.numerator), hex(value.denominator)
    return kind, hex(value) if kind is int else repr(value)


def read(load: Callable[..., Any], data: bytes, *more: Any) -> Any:
    """Return what reading gives, or the SerializeError. Any other exception is a failure that shows the bytes."""
    began = time.process_time()
    try:
        value = load(data, *more)
    except (SerializeError, ProtocolError, SecurityError) as error:
        value = error
    except PyroError as error:
        assert " uri" in str(error), (error, data)  # noqa: PT017 - what a class that is built says passes unchanged
        value = error
    except ZeroDivisionError as error:
        assert b"grammar.Fails" in data, (error, data)  # noqa: PT017 - Pyro's formats raise what a converter raises
        value = error
    except Exception as error:
        error.add_note(f"the message: {data!r}")
        raise
    assert time.process_time() - began < SECONDS, data
    return value


def is_refused(value: Any) -> bool:
    return isinstance(value, PyroError | ZeroDivisionError) and value.__traceback__ is not None


def messages(seed: int, make: Callable[[random.Random, int], Any], wrap: Any) -> Iterator[bytes]:
    rng = random.Random(seed)
    for _ in range(MESSAGES):
        one, other = make(rng, rng.choice(PIECES)), make(rng, 10)
        yield render(one)
        for _ in range(2):
            yield changed(rng, one, other, wrap)


def native_values(rng: random.Random, pieces: int) -> Any:
    return native.NativeGrammar(rng, pieces).value()


@few
@given(seeds)
def test_native_values(seed: int) -> None:
    for data in messages(seed, native_values, native.wrap):
        value = read(NATIVE.loads, data)
        try:
            expected = REFERENCE.decode(data)
        except NotAValue:
            assert is_refused(value), data.hex()
            continue
        except PyroError:
            assert is_refused(value), data.hex()
            continue
        if is_refused(value):
            assert any(why in str(value) for why in ("take more memory", "keys collide")), (data.hex(), value)
            continue
        assert repr(described(value)) == repr(described(expected)), data.hex()
        again = read(NATIVE.dumps, value)
        if not is_refused(again):  # an object may be a level deeper where it is written
            assert repr(described(NATIVE.loads(again))) == repr(described(value)), data.hex()


@few
@given(seeds)
def test_native_calls_and_batches(seed: int) -> None:
    codec = NATIVE.codec
    for kind in ("call", "batch", "results", "value"):
        make = getattr(native.NativeGrammar, kind)
        for data in messages(seed, lambda rng, pieces: make(native.NativeGrammar(rng, pieces)), native.wrap):  # noqa: B023
            read(NATIVE.loads_call, data, BUFFERS)
            read(NATIVE.loads, data, BUFFERS)
            read(lambda data: decode_batch(codec, data), data)
            read(lambda data: decode_results(codec, data), data)


def reference_of(name: str, data: bytes) -> Any:
    """Return what somebody else's reader gives for bytes that were accepted here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "marshal":
            return marshal.loads(data)
        return json.loads(data) if name == "json" else ast.literal_eval(data.decode("utf-8"))


@pytest.mark.parametrize("name", PEERS)
@few
@given(seed=seeds)
def test_values_of_peers(name: str, seed: int) -> None:
    serializer = get_serializer(name)
    grammar = PEERS[name]

    def make(rng: random.Random, pieces: int) -> Any:
        return grammar(rng, pieces).value()

    for data in messages(seed, make, lambda rng, piece: grammar(rng, 0).wrap(piece)):
        value = read(serializer.loads, data)
        if is_refused(value):
            continue
        if name != "msgpack" and b"_" not in data and b"#" not in data:  # no class dicts, no comments
            expected = reference_of(name, data)
            if "complex" not in repr(described(value)):  # signs of zeros
                assert repr(described(value)) == repr(described(expected)), data.hex()
        again = read(serializer.dumps, value)
        if not is_refused(again):
            read(serializer.loads, again)


@pytest.mark.parametrize("name", PEERS)
@few
@given(seed=seeds)
def test_calls_and_batches_of_peers(name: str, seed: int) -> None:
    serializer = get_serializer(name)
    grammar = PEERS[name]

    for kind in ("call", "batch"):

        def make(rng: random.Random, pieces: int) -> Any:
            return getattr(grammar(rng, pieces), kind)()  # noqa: B023

        for data in messages(seed, make, lambda rng, piece: grammar(rng, 0).wrap(piece)):
            call = read(serializer.loads_call, data)
            if not is_refused(call):
                read(read_batch, call)
                read(read_results, call[2])
            if name == "marshal":
                read(lambda data: read_blob_annotation(data, PROTOCOL_VERSION), data)


@pytest.mark.parametrize("name", ["native", *PEERS])
def test_memory_stays_within_the_budget(name: str) -> None:
    serializer = get_serializer(name)
    rng = random.Random(name)
    for _ in range(100):
        if name == "native":
            one, other, wrap = native_values(rng, 300), native_values(rng, 30), native.wrap
        else:
            grammar = PEERS[name]
            one, other = grammar(rng, 300).value(), grammar(rng, 30).value()
            wrap = lambda rng, inner: grammar(rng, 0).wrap(inner)  # noqa: B023, E731
        data = changed(rng, one, other, wrap)
        read(serializer.loads, data)  # what is made once does not count
        tracemalloc.start()
        try:
            read(serializer.loads, data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < min(most_memory(len(data)), 600 * len(data) + 100_000), data.hex()
