"""``fastpyro echo`` as a process, called with ``fastpyro call``."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from server_process import ServerProcess

import fastpyro
from fastpyro.cli import main
from fastpyro.client.locate import locate_ns
from fastpyro.errors import NamingError


def test_serves_and_ends_with_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    with ServerProcess("-m", "fastpyro", "echo", "-H", "127.0.0.1") as process:
        uri = process.wait_for(r"^uri = (PYRO:test.echoserver@127.0.0.1:\d+)$")[1]
        assert main(["call", uri, "echo", "hello"]) == 0
        assert capsys.readouterr().out == "hello\n"
        process.interrupt()
        assert process.wait_for_end() == 0
    assert process.output.endswith("echo server shut down.\n")


def test_ends_when_it_is_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ServerProcess("-m", "fastpyro", "echo", "-v", "-u", tmp_path / "socket") as process:
        uri = process.wait_for(r"^uri = (PYRO:test.echoserver@./u:\S+)$")[1]
        assert main(["call", uri, "shutdown"]) == 0
        assert process.wait_for_end() == 0
    assert "shutting down" in process.output


def test_quiet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with ServerProcess("-m", "fastpyro", "echo", "-q", "-H", "127.0.0.1", "-p", str(port)) as process:
        proxy = fastpyro.Proxy(f"PYRO:test.echoserver@127.0.0.1:{port}")
        proxy._pyroReconnect(tries=3000, pause=0.01)
        with proxy:
            proxy.shutdown()
        assert process.wait_for_end() == 0
    assert process.output == ""


def test_registers_while_it_runs() -> None:
    with ServerProcess("-m", "fastpyro", "ns", "-n", "127.0.0.1", "-p", "0") as name_server:
        port = name_server.wait_for(r"^URI = PYRO:Pyro.NameServer@127.0.0.1:(\d+)")[1]
        environment = {"PYRO_NS_HOST": "127.0.0.1", "PYRO_NS_PORT": port}
        with ServerProcess("-m", "fastpyro", "echo", "-n", environment=environment) as process:
            uri = process.wait_for(r"^uri = (PYRO:\S+)$")[1]
            with locate_ns("127.0.0.1", int(port)) as ns:
                assert str(ns.lookup("test.echoserver")) == uri
            process.interrupt()
            assert process.wait_for_end() == 0, process.output
        with locate_ns("127.0.0.1", int(port)) as ns, pytest.raises(NamingError, match="unknown name"):
            ns.lookup("test.echoserver")


def test_without_name_server() -> None:
    environment = {"PYRO_NS_HOST": "127.0.0.1", "PYRO_NS_PORT": "1"}
    with ServerProcess("-m", "fastpyro", "echo", "-n", environment=environment) as process:
        assert process.wait_for_end() == 1
    assert process.output.startswith("Error: NamingError - Failed to locate the nameserver at 127.0.0.1:1")
