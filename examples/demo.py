"""What `make demo` runs: a name server, a server and a client, each a process of its own, and what their calls cost.

Starts everything, makes normal, oneway, batched and asynchronous calls, checks and prints the results and the latency
measured, and stops everything. Exit status 0 only when all went well.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import Any

import fastpyro

PATIENCE = 30.0
NAME = "demo.counter"


@fastpyro.expose
class Counter:
    """What the demo's server serves."""

    def __init__(self) -> None:
        self._total = 0

    def nothing(self) -> None:
        """Do nothing: the cheapest call."""

    def add(self, left: int, right: int) -> int:
        """Return the sum."""
        return left + right

    @fastpyro.oneway
    def increase(self, amount: int) -> None:
        """Add to the total; clients do not wait."""
        self._total += amount

    def total(self) -> int:
        """Return the total."""
        return self._total

    def fail(self) -> None:
        """Raise an error."""
        raise ValueError("the server says no")


def serve() -> None:
    """The server process."""
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        uri = daemon.register(Counter(), NAME)
        with fastpyro.locate_ns() as nameserver:
            nameserver.register(NAME, uri)
        print("serving", uri, flush=True)
        daemon.requestLoop()


def check(what: str, found: Any, expected: Any) -> None:
    """Print a result, and end the demo when it is wrong."""
    print(f"  {what}: {found!r}")
    if found != expected:
        raise SystemExit(f"expected {expected!r}")


def client() -> None:
    """The client process."""
    with fastpyro.Proxy(f"PYRONAME:{NAME}") as counter:
        counter._pyroBind()
        print("client:", counter, flush=True)
        check("add(2, 3)", counter.add(2, 3), 5)

        for amount in range(1, 11):
            counter.increase(amount)  # oneway: returns at once
        check("total after ten oneway calls", counter.total(), 55)

        batch = fastpyro.batch(counter)
        for number in range(1000):
            batch.add(number, number)
        check("sum of a batch of 1,000 calls", sum(batch()), 999_000)

        background = fastpyro.asyncproxy(counter)
        results = [background.add(number, 1).then(lambda value: value * 10) for number in range(5)]
        check("five calls in the background, each with a chain", [r.value for r in results], [10, 20, 30, 40, 50])
        background._pyroRelease()

        try:
            counter.fail()
        except ValueError as error:
            check("an error, as if it were local", str(error), "the server says no")

        measure(counter)


def measure(counter: Any) -> None:
    """Print what calls cost on this machine, now."""
    samples = []
    for _ in range(5000):
        before = time.perf_counter()
        counter.nothing()
        samples.append(time.perf_counter() - before)
    samples.sort()
    median, p99 = statistics.median(samples) * 1e6, samples[len(samples) * 99 // 100] * 1e6
    print(f"  a call that does nothing: median {median:.1f} µs, p99 {p99:.1f} µs (of {len(samples):,} calls)")

    before = time.perf_counter()
    batch = fastpyro.batch(counter)
    for number in range(10_000):
        batch.add(number, number)
    assert len(list(batch())) == 10_000
    print(f"  a batch of 10,000 calls: {10_000 / (time.perf_counter() - before):,.0f} calls a second", flush=True)


def start(*arguments: str, says: str, environment: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
    """Start a process and wait for the line that says it is ready; returns both."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    for line in process.stdout:
        if says in line:
            return process, line.strip()
    raise SystemExit(f"{' '.join(arguments)} ended with status {process.wait()} and never said {says!r}")


def main() -> None:
    """Start the processes, wait for the client, stop the others."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    running: list[subprocess.Popen[str]] = []
    try:
        nameserver, line = start("-m", "fastpyro", "ns", "-n", "127.0.0.1", "-p", "0", "--storage", "memory",
                                 says="URI = ", environment=environment)  # fmt: skip
        running.append(nameserver)
        print("name server:", line, flush=True)
        host, _, port = line.rpartition("@")[2].rpartition(":")
        environment.update(PYRO_NS_HOST=host, PYRO_NS_PORT=port)
        server, line = start(__file__, "server", says="serving", environment=environment)
        running.append(server)
        print("server:", line, flush=True)
        status = subprocess.run([sys.executable, __file__, "client"], env=environment, timeout=PATIENCE).returncode
        if status:
            raise SystemExit(f"the client ended with status {status}")
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
    print("everything is stopped; that was the demo.")


if __name__ == "__main__":
    {"server": serve, "client": client}.get(sys.argv[1] if len(sys.argv) > 1 else "", main)()
