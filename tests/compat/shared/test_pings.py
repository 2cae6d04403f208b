"""Pings over a proxy's connection."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

import fastpyro
from fastpyro.compat.shared.pings import ping
from fastpyro.errors import ProtocolError


class Subject:
    """Something to connect to."""

    @fastpyro.expose
    def nothing(self) -> None: ...


@pytest.mark.parametrize("serializer", ["native", "serpent"])
def test_ping(serializer: str) -> None:
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        uri = daemon.register(Subject())
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        with fastpyro.Proxy(uri) as proxy:
            proxy._pyroSerializer = serializer
            proxy._pyroBind()
            ping(proxy._pyroConnection)
            assert proxy.nothing() is None
        daemon.shutdown()
        thread.join()


def test_a_wrong_answer() -> None:
    strange = SimpleNamespace(exchange=lambda *_: SimpleNamespace(kind=5, payload=b"pong"))
    with pytest.raises(ProtocolError, match="type 5"):
        ping(strange)
