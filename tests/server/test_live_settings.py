"""The settings that a server keeps: told of a change while it lives, and forgotten with it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import fastpyro
from fastpyro import config
from fastpyro.server import live_settings


@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_a_server_follows(servertype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "SERVERTYPE", servertype)
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        server: Any = daemon.transportServer
        assert server.longest_wait == live_settings.LONGEST_WAIT
        monkeypatch.setattr(config, "POLLTIMEOUT", 0.5)
        assert server.longest_wait == 0.5
        monkeypatch.setattr(config, "POLLTIMEOUT", 0.0)
        assert server.longest_wait == live_settings.SHORTEST_WAIT


def test_silence_is_noticed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "COMMTIMEOUT", 2.0)
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        server: Any = daemon.transportServer
        assert server.longest_wait == 0.5


def test_a_server_that_is_gone_is_told_nothing() -> None:
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        server = weakref.ref(daemon.transportServer)
        assert any(one is server() for one in live_settings._servers.values())
    del daemon
    gc.collect()
    assert server() is None


def test_without_compression_calls_take_the_fast_path_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        server: Any = daemon.transportServer
        real = server.requests

        class Requests:
            use_fast_path = staticmethod(told.append)

        server.requests = Requests()
        monkeypatch.setattr(config, "COMPRESSION", True)
        monkeypatch.setattr(config, "COMPRESSION", False)
        server.requests = real
    assert told == [False, True]
