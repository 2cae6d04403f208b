"""Batches as the peers' serializers carry them."""

from __future__ import annotations

from typing import Any

import pytest

import fastpyro
from fastpyro.config import config
from fastpyro.errors import MessageTooLargeError, SerializeError
from fastpyro.protocol._batch import BatchWriter
from fastpyro.protocol.peer_batches import ResultList, read_batch, read_results, results_limit, write_batch
from fastpyro.serializers.registry import get_serializer, native
from fastpyro.values.peer_dicts import FailedCall


class Point:
    """A class that nobody registered here."""


@pytest.mark.parametrize("name", ["serpent", "json", "msgpack", "marshal"])
def test_there_and_back(name: str) -> None:
    writer = BatchWriter(native.codec)
    writer.add("add", (1, 2))
    writer.add("echo", ("x",), {"k": [3]})
    serializer = get_serializer(name)
    object_id, calls = read_batch(serializer.loads_call(write_batch(serializer, writer, "obj")))
    assert object_id == "obj"
    assert calls == [("add", (1, 2), None), ("echo", ("x",), {"k": [3]})]


def test_objects_of_users_classes_and_proxies_are_rewritten() -> None:
    writer = BatchWriter(native.codec)
    point = Point()
    point.x = 7  # type: ignore[attr-defined]
    writer.add("m", (point, fastpyro.URI("PYRO:x@h:1"), fastpyro.Proxy("PYRO:x@h:1"), ValueError("why")))
    text = write_batch(get_serializer("serpent"), writer, "obj").decode()
    assert "Point','x':7}" in text
    assert "Pyro5.core.URI" in text
    assert "Pyro5.client.Proxy" in text
    assert "builtins.ValueError" in text


@pytest.mark.parametrize(
    "call",
    [
        ("o", "method", (), {}),
        ("o", "<batch>", (1,), {}),
        ("o", "<batch>", (("m", ()),), {}),
        ("o", "<batch>", ((1, (), {}),), {}),
        ("o", "<batch>", (("m", 1, {}),), {}),
        ("o", "<batch>", (("m", (), 1),), {}),
        ("o", "<batch>", (("m", (), {1: 2}),), {}),
    ],
)
def test_what_is_no_batch(call: Any) -> None:
    with pytest.raises(SerializeError):
        read_batch(call)


@pytest.mark.parametrize("name", ["serpent", "json", "msgpack", "marshal"])
def test_results_stop_at_the_limit(name: str) -> None:
    results = ResultList(get_serializer(name), 10_000)
    for _ in range(2):
        results.add(["x" * 4000])
    with pytest.raises(MessageTooLargeError, match=r"call 3 the results of this batch exceed 10,000 bytes"):
        results.add(["x" * 4000])
    assert len(results) == 2
    with pytest.raises(MessageTooLargeError, match=r"call 3 .* MAX_BATCH_RESULTS"):
        results.add("x" * 8000)
    for value in (1, None, True, 2.5, "short"):
        results.add(value)
    assert len(results.payload()) < 12_000


def test_the_limit_is_the_smaller_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert results_limit() == config.MAX_BATCH_RESULTS
    monkeypatch.setattr(config, "MAX_MESSAGE_SIZE", 5000)
    assert results_limit() == 5000
    monkeypatch.setattr(config, "MAX_BATCH_RESULTS", 0)
    assert results_limit() == 5000
    monkeypatch.setattr(config, "MAX_MESSAGE_SIZE", 0)
    assert results_limit() == 0


def test_results() -> None:
    serializer: Any = get_serializer("serpent")
    results = ResultList(serializer)
    results.add(1)
    results.add([2])
    assert len(results) == 2
    assert read_results(serializer.loads(results.payload())) == ([1, [2]], None)
    results.add_error(ValueError("why"))
    values, error = read_results(serializer.loads(results.payload()))
    assert values == [1, [2]]
    assert isinstance(error, ValueError)
    assert read_results([]) == ([], None)
    assert read_results((FailedCall(KeyError(1)),))[0] == []
    with pytest.raises(SerializeError, match="list"):
        read_results("text")
