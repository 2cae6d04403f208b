"""Forked children of serving processes: they leave the parent's daemon alone, and end when their method says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import PATIENCE, ServerProcess

import fastpyro

PROGRAM = """
import os, sys, threading
import fastpyro

fastpyro.config.SERVERTYPE = sys.argv[1]
place = sys.argv[2]


@fastpyro.expose
class Forking:
    def leave(self, how):
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if how == "sys.exit":
            sys.exit(7)
        if how == "with":
            with daemon:
                pass
        if how == "shutdown":
            daemon.shutdown()
        if how == "loop":
            try:
                daemon.requestLoop()
            except Exception:
                os._exit(9)
        if how == "return":
            return "never seen by the client"
        os._exit(3)

    def add(self, left, right):
        return left + right

    def pid(self):
        return os.getpid()


daemon = fastpyro.Daemon(unixsocket=place) if place else fastpyro.Daemon(host="127.0.0.1")
with daemon:
    daemon.register(Forking(), "forking")
    if sys.argv[3] == "child":
        if os.fork():
            os._exit(0)
    print("location =", daemon.locationStr, flush=True)
    daemon.requestLoop()
    if os.environ["PARENT"] != str(os.getppid()) and sys.argv[3] != "child":
        os._exit(5)
print("ended", flush=True)
"""


class Forker(ServerProcess):
    def __init__(self, servertype: str, place: str, who: str = "parent") -> None:
        environment = {"PYTHONPATH": str(Path(fastpyro.__file__).parent.parent), "PARENT": str(os.getpid())}
        super().__init__("-c", PROGRAM, servertype, place, who, environment=environment)
        self.location = self.wait_for(r"^location = (\S+)$").group(1)

    def proxy(self) -> Any:
        proxy = fastpyro.Proxy(f"PYRO:forking@{self.location}")
        proxy._pyroTimeout = PATIENCE
        return proxy


@pytest.fixture(params=["thread", "multiplex"])
def servertype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["tcp", "unix"])
def forker(servertype: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Forker]:
    with Forker(servertype, str(tmp_path / "socket") if request.param == "unix" else "") as running:
        yield running


def test_whatever_a_child_does_the_parent_serves_on(forker: Forker) -> None:
    with forker.proxy() as proxy:
        assert proxy.leave("sys.exit") == 7
        assert proxy.leave("with") == 3
        assert proxy.leave("shutdown") == 3
        assert proxy.leave("loop") == 9
        assert proxy.leave("return") in (0, 5), "the reply is the parent's"
        assert proxy.add(1, 2) == 3, "on the connection that was there"
        with forker.proxy() as new:
            assert new.add(3, 4) == 7, "and on new ones"
            assert new.pid() == forker.pid


def test_a_daemon_that_has_not_served_is_the_childs_to_serve(servertype: str) -> None:
    with Forker(servertype, "", "child") as forker:
        with forker.proxy() as proxy:
            child = proxy.pid()
            assert child != forker.pid
            assert proxy.add(1, 2) == 3
        os.kill(child, 9)
