"""What `proxy.name` gives for a method, with a proxy that records."""

from __future__ import annotations

import inspect
import pickle
import pydoc
from typing import Any

import pytest

import fastpyro
from fastpyro.client.method import RemoteMethod
from fastpyro.errors import ConnectionClosedError, NamingError, TimeoutError


class RecordingProxy:
    """Stands for a Proxy: fails as often as it is told to, then answers."""

    _pyroUri = "PYRO:recording@localhost:1"

    def __init__(self, failures: list[Exception] | None = None, retries: int = 0) -> None:
        self._pyroMaxRetries = retries
        self.failures = failures or []
        self.calls: list[tuple[str, Any, Any]] = []

    def _pyroInvoke(self, name: str, args: Any, kwargs: Any) -> str:
        self.calls.append((name, args, kwargs))
        if self.failures:
            raise self.failures.pop(0)
        return "answer"

    def _pyro_member_details(self, name: str) -> dict[str, Any]:
        return {"doc": f"Does {name}.", "signature": "(size, *, fast=False)"} if name == "known" else {}


def test_call_passes_name_and_arguments() -> None:
    proxy = RecordingProxy()
    assert RemoteMethod(proxy, "run")(1, 2, key=3) == "answer"
    assert proxy.calls == [("run", (1, 2), {"key": 3})]


def test_argument_called_self_is_an_ordinary_keyword() -> None:
    proxy = RecordingProxy()
    RemoteMethod(proxy, "run")(self=1)
    assert proxy.calls == [("run", (), {"self": 1})]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_method_can_be_pickled_with_its_proxy(protocol: int) -> None:
    """So that `pool.map(proxy.method, values)` works."""
    method = RemoteMethod(fastpyro.Proxy("PYRO:object@localhost:4711"), "run")
    again = pickle.loads(pickle.dumps(method, protocol))
    assert type(again) is RemoteMethod
    assert again.__name__ == "run"
    assert again._proxy == method._proxy
    assert again._proxy is not method._proxy


@pytest.mark.parametrize("failure", [ConnectionClosedError("gone"), TimeoutError("late")])
def test_retries_lost_connections_and_timeouts(failure: Exception) -> None:
    proxy = RecordingProxy([failure, failure], retries=2)
    assert RemoteMethod(proxy, "run")() == "answer"
    assert len(proxy.calls) == 3
    proxy = RecordingProxy([failure] * 3, retries=2)
    with pytest.raises(type(failure)):
        RemoteMethod(proxy, "run")()
    assert len(proxy.calls) == 3


def test_other_errors_are_not_retried() -> None:
    proxy = RecordingProxy([NamingError("unknown")], retries=5)
    with pytest.raises(NamingError):
        RemoteMethod(proxy, "run")()
    assert len(proxy.calls) == 1


def test_tells_name_doc_and_signature() -> None:
    method: Any = RemoteMethod(RecordingProxy(), "known")
    assert (method.__name__, method.__qualname__, method.__doc__) == ("known", "known", "Does known.")
    assert str(inspect.signature(method)) == "(size, *, fast=False)"
    text = pydoc.plain(pydoc.render_doc(method))
    assert "known(size, *, fast=False)" in text
    assert "Does known." in text
    assert "PYRO:recording" in repr(method)


def test_unknown_details_are_no_error() -> None:
    method: Any = RemoteMethod(RecordingProxy(), "other")
    assert method.__doc__ is None
    assert not hasattr(method, "__signature__")
    with pytest.raises(AttributeError, match="no attribute 'chained'"):
        method.chained()
