"""Callbacks: the server calls objects of the client's own daemon."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import SubjectServer

import fastpyro


@fastpyro.expose
class Callback:
    def __init__(self) -> None:
        self.received: list[Any] = []

    @fastpyro.callback
    def called(self, *values: Any) -> str:
        self.received.append(values)
        if values == ("fail",):
            raise ZeroDivisionError("in the callback")
        return "thanks"


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer() as running:
        yield running


@pytest.fixture
def callback() -> Iterator[Callback]:
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        callback = Callback()
        daemon.register(callback)
        loop = threading.Thread(target=daemon.requestLoop)
        loop.start()
        yield callback
        daemon.shutdown()
        loop.join(10)
        assert not loop.is_alive()


def test_object_itself_is_passed_and_called_back(server: SubjectServer, callback: Callback) -> None:
    with fastpyro.Proxy(server.uri()) as proxy:
        assert proxy.call_back(callback, 1, "two") == "thanks"
    assert callback.received == [(1, "two")]


def test_error_goes_to_the_caller_and_is_shown_here(
    server: SubjectServer, callback: Callback, caplog: pytest.LogCaptureFixture
) -> None:
    with fastpyro.Proxy(server.uri()) as proxy:
        with caplog.at_level(logging.WARNING), pytest.raises(ZeroDivisionError, match="in the callback"):
            proxy.call_back(callback, "fail")
        assert "Exception in callback method" in caplog.text
        assert 'raise ZeroDivisionError("in the callback")' in caplog.text
        assert proxy.call_back(callback, "again") == "thanks"


def test_connection_of_a_failing_callback_stays_open(callback: Callback) -> None:
    with fastpyro.Proxy(callback._pyroDaemon.uriFor(callback)) as proxy:  # type: ignore[attr-defined]
        proxy._pyroBind()
        connection = proxy._pyroConnection
        with pytest.raises(ZeroDivisionError):
            proxy.called("fail")
        assert proxy.called("fine") == "thanks"
        assert proxy._pyroConnection is connection
