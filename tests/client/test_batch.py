"""Batched calls: order, results, errors in the middle, oneway, asynchronous, re-use."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import SubjectServer

import fastpyro
from fastpyro import errors


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer() as running:
        yield running


@pytest.fixture
def proxy(server: SubjectServer) -> Iterator[Any]:
    with fastpyro.Proxy(server.uri("calculator.class")) as connected:
        yield connected


def test_results_come_in_the_order_of_the_calls(proxy: Any) -> None:
    batch = fastpyro.batch(proxy)
    assert batch.add(1, 2) is None
    assert batch.add(left=3, right=4) is None
    batch.echo("a", k=(1,))
    assert len(batch) == 3
    results = batch()
    assert list(results) == [3, 7, (("a",), {"k": (1,)})]
    assert len(batch) == 0


def test_all_spellings(proxy: Any) -> None:
    for batch in (fastpyro.batch(proxy), proxy._pyroBatch(), fastpyro.BatchProxy(proxy)):
        with batch as same:
            same.add(1, 1)
        assert list(batch()) == [2]


def test_one_request_for_the_whole_batch(proxy: Any) -> None:
    proxy._pyroBind()
    before = proxy._pyroSeq
    batch = fastpyro.batch(proxy)
    for number in range(1000):
        batch.add(number, number)
    assert list(batch()) == [2 * number for number in range(1000)]
    assert proxy._pyroSeq == before + 1


def test_empty_batch(proxy: Any) -> None:
    assert list(fastpyro.batch(proxy)()) == []


def test_error_ends_the_batch(proxy: Any) -> None:
    batch = fastpyro.batch(proxy)
    batch.note_blocking("first")
    batch.divide(1, 0)
    batch.note_blocking("never")
    results = batch()
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError) as caught:
        next(results)
    assert "in divide" in "".join(caught.value._pyroTraceback)  # type: ignore[attr-defined]
    assert next(results, "exhausted") == "exhausted"
    assert proxy.all_notes() == ["first"]


@pytest.mark.parametrize("name", ["nothing", "_private", "__init__", "__class__", "level", "add.__func__", "limit"])
def test_names_that_must_not_be_called_keep_the_earlier_results(proxy: Any, name: str) -> None:
    batch = fastpyro.batch(proxy)
    batch.add(1, 1)
    batch._writer.add(name, (), {})
    results = batch()
    assert next(results) == 2
    with pytest.raises(AttributeError):
        next(results)


def test_unserializable_result_ends_the_batch(proxy: Any) -> None:
    batch = fastpyro.batch(proxy)
    batch.add(1, 1)
    batch.unserializable()
    results = batch()
    assert next(results) == 2
    with pytest.raises(errors.SerializeError, match="lock"):
        next(results)


def test_unknown_user_exception_in_a_batch(proxy: Any) -> None:
    batch = fastpyro.batch(proxy)
    batch.stock("tea", missing=2)
    with pytest.raises(errors.RemoteError) as caught:
        list(batch())
    assert caught.value.class_name == "__main__.StockError"


def test_unserializable_argument_fails_when_it_is_queued(proxy: Any) -> None:
    batch = fastpyro.batch(proxy)
    batch.add(1, 1)
    with pytest.raises(errors.SerializeError):
        batch.echo(threading.Lock())
    assert list(batch()) == [2]


def test_arguments_are_those_of_the_moment_of_queueing(proxy: Any) -> None:
    argument = [1]
    batch = fastpyro.batch(proxy)
    batch.echo(argument)
    argument.append(2)
    assert list(batch()) == [(([1],), {})]


def test_oneway_batch(proxy: Any) -> None:
    batch = fastpyro.batch(proxy)
    for number in range(5):
        batch.note_blocking(number)
    assert batch(oneway=True) is None
    assert proxy.all_notes() == [0, 1, 2, 3, 4]  # the connection's next call comes after the batch
    batch.divide(1, 0)
    batch(oneway=True)
    assert proxy.add(1, 1) == 2


@pytest.mark.parametrize("spelling", ["asynchronous", "async"])
def test_asynchronous_batch(proxy: Any, spelling: str) -> None:
    batch = fastpyro.batch(proxy)
    batch.add(1, 2)
    batch.add(3, 4)
    future = batch(**{spelling: True})
    total = future.then(sum)
    assert total.value == 10


def test_contradicting_and_unknown_keywords(proxy: Any) -> None:
    batch = fastpyro.batch(proxy)
    with pytest.raises(errors.PyroError, match="async oneway calls make no sense"):
        batch(oneway=True, asynchronous=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'wrong'"):
        batch(wrong=True)


def test_queue_is_empty_after_a_failed_submission(server: SubjectServer) -> None:
    proxy = fastpyro.Proxy(server.uri("nobody"))
    batch = fastpyro.batch(proxy)
    batch.add(1, 1)
    with pytest.raises(errors.CommunicationError):
        batch()
    assert len(batch) == 0


def test_copy_has_its_own_queue(proxy: Any) -> None:
    batch = fastpyro.batch(proxy)
    batch.add(1, 1)
    copied = copy.copy(batch)
    batch.add(2, 2)
    assert list(copied()) == [2]
    assert list(batch()) == [2, 4]


def test_two_batches_of_one_proxy(proxy: Any) -> None:
    first, second = fastpyro.batch(proxy), fastpyro.batch(proxy)
    first.add(1, 0)
    second.add(2, 0)
    assert list(second()) == [2]
    assert list(first()) == [1]
