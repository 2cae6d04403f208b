"""The calls of a batch are performed in order."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import fastpyro
from fastpyro.config import config
from fastpyro.protocol._batch import ResultWriter, decode_results
from fastpyro.protocol.peer_batches import ResultList
from fastpyro.serializers.registry import get_serializer, native
from fastpyro.server._batches import perform_batch


@fastpyro.expose
class Subject:
    """What the calls call."""

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    def fail(self) -> None:
        raise ValueError("failed")

    async def later(self) -> Any:
        return 1


def no_coroutine(coroutine: Any) -> Any:
    pytest.fail("there is none")


def test_a_batch_ends_where_a_call_fails() -> None:
    results = ResultWriter(native.codec)
    calls: list[Any] = [("echo", (1,), None), ("echo", (), {"key": 2}), ("fail", (), None), ("echo", (3,), None)]
    with pytest.raises(ValueError, match="failed"):
        perform_batch(Subject(), calls, True, results, no_coroutine)
    assert len(results) == 2
    assert decode_results(native.codec, results.payload()) == ([((1,), {}), ((), {"key": 2})], None)


def test_a_batch_has_coroutines_awaited() -> None:
    def run(coroutine: Any) -> str:
        coroutine.close()
        return "awaited"

    results = ResultWriter(native.codec)
    calls: list[Any] = [("later", (), None), ("echo", (2,), None)]
    perform_batch(Subject(), calls, True, results, run)
    assert decode_results(native.codec, results.payload()) == (["awaited", ((2,), {})], None)


def test_results_in_a_peers_format() -> None:
    serializer = get_serializer("serpent")
    results = ResultList(serializer)
    perform_batch(Subject(), [("echo", (number,), None) for number in range(3)], True, results, no_coroutine)
    assert serializer.loads(results.payload()) == [((number,), {}) for number in range(3)]


@pytest.mark.parametrize("compression", [False, True])
def test_big_results_arrive(compression: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "COMPRESSION", compression)
    texts = [str(number) * 300_000 for number in range(10, 16)]
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        uri = daemon.register(Subject())
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        try:
            with fastpyro.Proxy(uri) as proxy:
                batch = fastpyro.BatchProxy(proxy)
                for text in texts:
                    batch.echo(text)
                assert [args[0] for args, _ in batch()] == texts
        finally:
            daemon.shutdown()
            thread.join()
