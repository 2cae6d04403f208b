"""The echo object over a connection, and the server that offers it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fastpyro
from fastpyro import echo as module
from fastpyro.config import config
from fastpyro.echo import OBJECT_NAME, EchoServer, serve_echo


@pytest.fixture
def server() -> Iterator[EchoServer]:
    echo = EchoServer()
    with fastpyro.Daemon("127.0.0.1") as daemon:
        daemon.register(echo, OBJECT_NAME)
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        yield echo
        echo.shutdown()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def proxy(server: EchoServer) -> Iterator[Any]:
    with fastpyro.Proxy(server._pyroDaemon.uriFor(server)) as proxy:  # type: ignore[attr-defined]
        yield proxy


def test_methods(proxy: Any) -> None:
    for value in ("text", 42, [1, {"a": (None, b"bytes")}], {"é"}):
        assert proxy.echo(value) == value
    with pytest.raises(ValueError, match="generated error from echoserver echo"):
        proxy.error()
    with pytest.raises(ValueError, match="the message of the error"):
        proxy.error_with_text()
    assert list(proxy.generator()) == ["one", "two", "three"]
    assert math.isnan(proxy.nan())
    assert proxy.inf() == math.inf
    assert proxy.oneway_echo("x") is None


def test_special_and_private_names(proxy: Any) -> None:
    assert proxy.__dunder__() == "should be allowed (dunder)"
    with pytest.raises(AttributeError):
        proxy._private()
    with pytest.raises(AttributeError):
        proxy._pyroInvoke("_private", (), {})


def test_slow_methods_take_time(proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.01)
    assert proxy.slow() == "Finally, an answer!"
    assert proxy.oneway_slow() is None


def test_verbose_prints_calls(proxy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert proxy.verbose is False
    proxy.echo("unheard")
    proxy.verbose = True
    assert proxy.verbose is True
    proxy.echo("héard")
    output = capsys.readouterr().out
    assert "unheard" not in output
    assert r"echo: 'h\xe9ard'" in output


def test_shutdown_is_answered(proxy: Any) -> None:
    assert proxy.shutdown() is None


def test_shutdown_ends_a_slow_call(server: EchoServer) -> None:
    thread = threading.Thread(target=server.slow)
    thread.start()
    server.shutdown()
    thread.join(30)
    assert not thread.is_alive()


def stop_soon(uri: str) -> threading.Thread:
    """Ask a server to stop as soon as it is there."""

    def stop() -> None:
        proxy = fastpyro.Proxy(uri)
        proxy._pyroReconnect(tries=1000, pause=0.01)
        with proxy:
            proxy.shutdown()

    thread = threading.Thread(target=stop)
    thread.start()
    return thread


def test_serves_until_shutdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "socket")
    thread = stop_soon(f"PYRO:{OBJECT_NAME}@./u:{path}")
    before = config.SERVERTYPE
    serve_echo(unixsocket=path)
    thread.join(30)
    assert before == config.SERVERTYPE
    assert capsys.readouterr().out == f"uri = PYRO:{OBJECT_NAME}@./u:{path}\necho server shut down.\n"
    thread = stop_soon(f"PYRO:{OBJECT_NAME}@./u:{path}")
    serve_echo(unixsocket=path, quiet=True)
    thread.join(30)
    assert capsys.readouterr().out == ""


def test_registers_in_a_name_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "socket")
    with fastpyro.Daemon("127.0.0.1") as unused:
        port = unused.sock.getsockname()[1]
    monkeypatch.setattr(config, "NS_HOST", "127.0.0.1")
    monkeypatch.setattr(config, "NS_PORT", port)
    monkeypatch.setattr(config, "NS_UNIX_LOCATIONS", True)  # the name server is reached over TCP
    thread = stop_soon(f"PYRONAME:{OBJECT_NAME}")
    serve_echo("127.0.0.1", unixsocket=path, nameserver=True)
    thread.join(30)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"name server = PYRO:Pyro.NameServer@127.0.0.1:{port}",
        f"name = {OBJECT_NAME}",
        f"uri = PYRO:{OBJECT_NAME}@./u:{path}",
        "echo server shut down.",
    ]
    with pytest.raises(fastpyro.errors.NamingError, match="connection refused"):
        serve_echo(unixsocket=path, naming=True)
    assert not Path(path).exists()
