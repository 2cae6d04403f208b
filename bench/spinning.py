"""What looking before sleeping (config item SPIN) brings and costs: `python bench/spinning.py` prints a table in Markdown.

Server and clients are processes of their own; each setting has its own server, and the settings are measured in turn.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BENCH = Path(__file__).parent
SETTINGS = (0, 50)
ROUNDS = 3

CLIENT = """
import json, resource, sys, threading, time
import fastpyro
what, uri = sys.argv[1:3]

def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

def latency(proxy, count, pause):
    times = []
    for _ in range(count):
        if pause:
            time.sleep(pause)
        before = time.perf_counter()
        proxy.null()
        times.append(time.perf_counter() - before)
    return sorted(times)[count // 2] * 1e6

def rate(proxies, seconds):
    counts, stop = [0] * len(proxies), []
    def work(index):
        add, count = proxies[index].add, 0
        while not stop:
            add(1, 2)
            count += 1
        counts[index] = count
    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(proxies))]
    before = time.perf_counter()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.append(True)
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - before)

with fastpyro.Proxy(uri) as proxy:
    proxy.null()
    if what == "full rate":
        latency(proxy, 3000, 0)
        print(json.dumps(latency(proxy, 20000, 0)))
    elif what == "100 a second":
        print(json.dumps(latency(proxy, 100, 0.01)))
    elif what == "at rest":
        print(json.dumps(latency(proxy, 5, 0.4)))
    elif what == "idle":
        own, server = cpu(), proxy.cpu_seconds()
        time.sleep(2)
        print(json.dumps((cpu() - own + proxy.cpu_seconds() - server) / 2 * 100))
    elif what == "bursts":
        medians = []
        for _ in range(9):
            time.sleep(0.1)
            medians.append(latency(proxy, 200, 0))
        print(json.dumps(sorted(medians)[4]))
    elif what.endswith(" threads"):
        proxies = [fastpyro.Proxy(uri) for _ in range(int(what.split()[0]))]
        for one in proxies:
            one.null()
        print(json.dumps(rate(proxies, 1.0)))
    elif what == "one":
        print(json.dumps(rate([proxy], 1.0)))
    elif what == "for ever":
        while True:
            proxy.null()
"""

BUSY = "import time; end = time.perf_counter() + 1.5; n = 0\nwhile time.perf_counter() < end: n += 1\nprint(n)"


@contextmanager
def server(spin: int, cpus: str) -> Iterator[tuple[str, dict[str, str]]]:
    environment = {**os.environ, "PYTHONPATH": str(BENCH.parent), "FASTPYRO_SPIN": str(spin)}
    command = ["taskset", "-c", cpus, sys.executable, str(BENCH / "contenders" / "fastpyro_.py"), "tcp"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), environment
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def start(what: str, uri: str, environment: dict[str, str], cpus: str) -> subprocess.Popen[str]:
    command = ["taskset", "-c", cpus, sys.executable, "-c", CLIENT, what, uri]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def figure(what: str, spin: int, *, cpus: str = "0,1", processes: int = 1) -> float:
    """Run so many clients at once; returns the sum of what they print."""
    with server(spin, cpus) as (uri, environment):
        clients = [start(what, uri, environment, cpus) for _ in range(processes)]
        return sum(float(json.loads(client.communicate()[0])) for client in clients)


def unrelated(spin: int | None) -> float:
    """Return how far a program that only computes gets, alone (None) or beside a client that calls all the time."""
    command = [sys.executable, "-c", BUSY]
    if spin is None:
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    with server(spin, "0,1") as (uri, environment):
        client = start("for ever", uri, environment, "0,1")
        try:
            return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        finally:
            client.kill()
            client.communicate()


def main() -> None:
    rows: dict[str, Callable[[int], float]] = {
        "null call at full rate, two cores, us": lambda spin: figure("full rate", spin),
        "null call at full rate, both ends on one core, us": lambda spin: figure("full rate", spin, cpus="1"),
        "null call, 100 a second, us": lambda spin: figure("100 a second", spin),
        "null call in bursts of 200 after 0.1 s of rest, us": lambda spin: figure("bursts", spin),
        "null call after 0.4 s of rest, us": lambda spin: figure("at rest", spin),
        "CPU of an idle client and its server, % of a core": lambda spin: figure("idle", spin),
        "calls a second, 1 thread": lambda spin: figure("one", spin),
        "calls a second, 2 threads": lambda spin: figure("2 threads", spin),
        "calls a second, 4 threads": lambda spin: figure("4 threads", spin),
        "calls a second, 16 threads": lambda spin: figure("16 threads", spin),
        "calls a second, 4 processes": lambda spin: figure("one", spin, processes=4),
        "speed of an unrelated busy program, % of alone": lambda spin: unrelated(spin) / unrelated(None) * 100,
    }
    print("| | " + " | ".join(f"SPIN = {spin}" for spin in SETTINGS) + " |")
    print("| --- |" + " ---: |" * len(SETTINGS))
    for title, measure in rows.items():
        samples: dict[int, list[float]] = {spin: [] for spin in SETTINGS}
        for number in range(ROUNDS):
            for spin in SETTINGS if number % 2 else reversed(SETTINGS):
                samples[spin].append(measure(spin))
        figures = [statistics.median(samples[spin]) for spin in SETTINGS]
        print(f"| {title} | " + " | ".join(f"{one:,.{0 if one >= 1000 else 1}f}" for one in figures) + " |", flush=True)


if __name__ == "__main__":
    main()
