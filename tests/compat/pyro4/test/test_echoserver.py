"""The echo server: its object, and the lines of its command."""

from __future__ import annotations

import threading
from typing import Any

import Pyro4
import pytest
from Pyro4.test import echoserver

WARNING = "Warning: HMAC key not set. Anyone can connect to this server!"


def test_the_object(capsys: pytest.CaptureFixture[str]) -> None:
    daemon, echo, uri = echoserver.main(["-q"], returnWithoutLooping=True)
    assert capsys.readouterr().out == ""
    assert isinstance(echo, echoserver.EchoServer)
    assert "Multiplex" in type(daemon.transportServer).__name__
    assert Pyro4.config.SERVERTYPE == "thread"
    thread = threading.Thread(target=daemon.requestLoop)
    thread.start()
    with Pyro4.Proxy(uri) as proxy:
        assert proxy.echo([1, "two"]) == [1, "two"]
        with pytest.raises(ValueError, match=r"expected error from echoserver error\(\) method"):
            proxy.error()
        with pytest.raises(ValueError, match="the message of the error"):
            proxy.error_with_text()
        assert list(proxy.generator()) == ["one", "two", "three"]
        assert proxy.verbose is False
        assert "error" in proxy._pyroMethods
        proxy.shutdown()
    thread.join(10)
    daemon.close()
    assert not thread.is_alive()


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    daemon, _, _ = echoserver.main(list(arguments), returnWithoutLooping=True)
    daemon.close()
    return capsys.readouterr().out.splitlines()


def test_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    first, warning, name, uri, last = lines(capsys)
    assert first == "Starting Pyro's built-in test echo server."
    assert warning == WARNING
    assert name == "object name: test.echoserver"
    assert uri.startswith("echo uri: PYRO:test.echoserver@localhost:")
    assert last == "echoserver running."
    assert WARNING not in lines(capsys, "-k", "secret")
    monkeypatch.setenv("PYRO_HMAC_KEY", "secret")
    assert WARNING not in lines(capsys)


def test_it_registers_itself(name_server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"using name server at {name_server.uriFor(Pyro4.constants.NAMESERVER_NAME)}" in lines(capsys, "-n", "-v")
    with Pyro4.locateNS() as found:
        assert found.lookup("test.echoserver").object == "test.echoserver"


def test_it_brings_a_name_server(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pyro4.Daemon, "requestLoop", lambda self: None)
    Pyro4.config.NS_PORT = Pyro4.socketutil.findProbablyUnusedPort()
    try:
        echoserver.main(["-N", "-n", "-v"])
        said = capsys.readouterr().out.splitlines()
        uri = f"PYRO:Pyro.NameServer@localhost:{Pyro4.config.NS_PORT}"
        assert said[2:4] == [f"using name server at {uri}", "not using a broadcast server"]
        echoserver.main(["-N", "-k", "secret"])
        assert "using name server" not in capsys.readouterr().out
    finally:
        Pyro4.config.NS_PORT = 9090


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        echoserver.main(["-h"])
    assert "show this help message" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        echoserver.main(["--bogus"])
    assert "no such option" in capsys.readouterr().err
