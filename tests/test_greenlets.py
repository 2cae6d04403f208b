"""Programs of gevent: a server in a greenlet, clients in greenlets, and nobody stops the others."""

from __future__ import annotations

import importlib.util

import pytest
from server_process import ServerProcess

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import sys, gevent, fastpyro

fastpyro.config.SERVERTYPE = sys.argv[1]
ticks = 0

class Subject:
    @fastpyro.expose
    def add(self, left, right):
        return left + right

    @fastpyro.expose
    def ticks_during(self, seconds):
        before = ticks
        gevent.sleep(seconds)
        return ticks - before

    @fastpyro.expose
    def numbers(self, count):
        yield from range(count)

    @fastpyro.expose
    def stop(self):
        daemon.shutdown()

def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.001)

def call(number):
    with fastpyro.Proxy(uri) as proxy:
        return [proxy.add(number, other) for other in range(50)]

with fastpyro.Daemon(host="127.0.0.1") as daemon:
    uri = daemon.register(Subject())
    serving = gevent.spawn(daemon.requestLoop)
    gevent.spawn(tick)
    clients = [gevent.spawn(call, number) for number in range(5)]
    gevent.joinall(clients, timeout=20, raise_error=True)
    assert [one.value for one in clients] == [list(range(number, number + 50)) for number in range(5)]
    with fastpyro.Proxy(uri) as proxy:
        proxy._pyroTimeout = 20
        assert proxy.ticks_during(0.1) > 5
        assert list(proxy.numbers(5)) == [0, 1, 2, 3, 4]
        assert [fastpyro.asyncproxy(proxy).add(number, 1).value for number in range(5)] == [1, 2, 3, 4, 5]
        assert len(proxy.add(b"x" * 5_000_000, b"y")) == 5_000_001
        batch = fastpyro.BatchProxy(proxy)
        batch.add(1, 2)
        assert list(batch()) == [3]
        proxy.stop()
    serving.join(20)
    assert serving.dead
print("all is well", flush=True)
"""


@pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent has no wheel for this Python")
@pytest.mark.parametrize("portable", ["0", "1"])
@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_a_server_and_clients_in_greenlets(servertype: str, portable: str) -> None:
    with ServerProcess("-c", PROGRAM, servertype, environment={"FASTPYRO_PORTABLE": portable}) as program:
        program.wait_for("all is well")
        assert program.wait_for_end() == 0
