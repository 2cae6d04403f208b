"""Two network namespaces and a cable between them, which is pulled: what both ends notice, and when.

``unshare -n [-r] python pulled_cable.py`` is the client's side and tells what it has seen; it starts the other side itself.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any

import fastpyro

KEEPALIVE = 3
BUSY_SECONDS = 7.0
"""More than twice as long."""

HERE, THERE = "10.99.0.1", "10.99.0.2"
PORT = 4711


@fastpyro.expose
class Computer:
    """Is busy for as long as it is told."""

    def compute(self, seconds: float) -> str:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass
        return "done"


class TellingDaemon(fastpyro.Daemon):
    """Says when a client has gone."""

    def clientDisconnect(self, conn: Any) -> None:
        print(f"gone {time.monotonic()}", flush=True)


def serve() -> None:
    sys.stdin.readline()  # the cable is there
    with TellingDaemon(THERE, PORT) as daemon:
        daemon.register(Computer(), "computer")
        print("ready", flush=True)
        daemon.requestLoop()


def end_of(call: Any) -> float:
    """Make a call that ends by a lost connection; return the moment."""
    try:
        call()
    except fastpyro.errors.ConnectionClosedError:
        return time.monotonic()
    raise AssertionError("the call did not fail")


def main() -> None:
    fastpyro.config.KEEPALIVE = KEEPALIVE
    if sys.argv[1:] == ["serve"]:
        serve()
        return
    command = ["unshare", "-n", sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        try:
            there = "nsenter", "-t", str(other.pid), "-n"
            while (
                subprocess.run([*there, "ip", "-br", "link"], capture_output=True, check=True).stdout.count(b"\n") != 1
            ):
                assert other.poll() is None  # until it is in a namespace of its own, with the loopback device only
            plug(there, other.pid)
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.stdout.readline() == "ready\n"
            tell(there, other)
        finally:
            other.kill()


def plug(there: tuple[str, ...], pid: int) -> None:
    run("ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", str(pid))
    run("ip", "addr", "add", f"{HERE}/24", "dev", "here")
    run("ip", "link", "set", "here", "up")
    run(*there, "ip", "addr", "add", f"{THERE}/24", "dev", "there")
    run(*there, "ip", "link", "set", "there", "up")


def tell(there: tuple[str, ...], other: subprocess.Popen[str]) -> None:
    waiting, asking, idle = (fastpyro.Proxy(f"PYRO:computer@{THERE}:{PORT}") for _ in range(3))
    for proxy in (waiting, asking, idle):
        proxy._pyroBind()
    print(waiting.compute(BUSY_SECONDS))
    ends: dict[str, float] = {}
    threads = [threading.Thread(target=lambda: ends.update(waiting=end_of(lambda: waiting.compute(600.0))))]
    threads[0].start()
    asking.compute(0.5)  # by now the other one's call is there
    run(*there, "ip", "link", "set", "there", "down")
    pulled = time.monotonic()
    threads.append(threading.Thread(target=lambda: ends.update(asking=end_of(lambda: asking.compute(0.0)))))
    threads[1].start()
    for thread in threads:
        thread.join()
    for name, moment in sorted(ends.items()):
        print(f"{name} {moment - pulled:.1f}")
    assert other.stdout is not None
    for _ in range(2):  # those who are not served; the clock is the machine's
        print(f"server {float(other.stdout.readline().split()[1]) - pulled:.1f}")


def run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
