"""Batches on proxies that perform them themselves."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from compat.programs import output_of

from fastpyro.compat.shared.peer_batches import PeerBatch
from fastpyro.errors import PyroError
from fastpyro.values.peer_dicts import FailedCall


class Own:
    """A proxy of a program's own."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def _pyroInvokeBatch(self, calls: Any, oneway: bool = False) -> Any:
        self.seen.append((list(calls), oneway))
        return [FailedCall(ValueError("no")) if name == "fail" else (name, *args) for name, args, _ in calls]


def test_calls_come_as_a_list_and_results_as_an_iterator() -> None:
    proxy: Any = Own()
    batch = PeerBatch(proxy)
    batch.add(1, 2)
    batch.fail(key=3)
    assert type(copy.copy(batch)) is PeerBatch
    results = batch()
    assert next(results) == ("add", 1, 2)
    with pytest.raises(ValueError, match="no"):
        next(results)
    assert proxy.seen == [([("add", (1, 2), {}), ("fail", (), {"key": 3})], False)]
    assert list(batch()) == []


def test_oneway_and_in_the_background() -> None:
    proxy: Any = Own()
    batch = PeerBatch(proxy)
    batch.add(1)
    assert batch(oneway=True) is None
    assert proxy.seen == [([("add", (1,), {})], True)]
    batch.add(2)
    assert list(batch(asynchronous=True).value) == [("add", 2)]
    with pytest.raises(PyroError, match="no sense"):
        batch(oneway=True, asynchronous=True)
    with pytest.raises(TypeError, match="other"):
        batch(other=1)


PROGRAM = """
import threading
from {core} import Proxy, Daemon, expose
{more}

class Things:
    @expose
    def add(self, a, b):
        return a + b

class Telling(Proxy):
    def _pyroInvokeBatch(self, calls, oneway=False):
        print(calls)
        return super()._pyroInvokeBatch(calls, oneway)

with Daemon() as daemon:
    uri = daemon.register(Things)
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
    for kind in (Proxy, Telling):
        with kind(uri) as proxy:
            batch = {batch}(proxy)
            batch.add(1, 2)
            batch.add(1, "x")
            results = batch()
            print(next(results))
            try:
                next(results)
            except TypeError:
                print("TypeError")
    daemon.shutdown()
"""


@pytest.mark.parametrize(
    ("facade", "core", "more", "batch"),
    [
        ("Pyro5", "Pyro5.api", "from Pyro5.api import BatchProxy", "BatchProxy"),
        ("Pyro4", "Pyro4", "from Pyro4 import batch as make", "make"),
    ],
)
def test_a_subclass_sees_the_calls(facade: str, core: str, more: str, batch: str, tmp_path: Path) -> None:
    lines = output_of(facade, tmp_path, PROGRAM.format(core=core, more=more, batch=batch)).splitlines()
    calls = "[('add', (1, 2), {}), ('add', (1, 'x'), {})]"
    assert lines == ["3", "TypeError", calls, "3", "TypeError"]
