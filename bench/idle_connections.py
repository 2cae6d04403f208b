"""How much memory an idle connection takes in a fastpyro server, and what thousands of them cost the others."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import report

BENCH = Path(__file__).parent
ROUNDS, CALLS = 10, 2000
WITHOUT = "fastpyro, no other connection"
HOLDER = """
import resource, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
import fastpyro
held = []
for line in sys.stdin:
    while len(held) < int(line):
        held.append(fastpyro.Proxy(sys.argv[1]))
        held[-1]._pyroBind()
    print(len(held), flush=True)
"""


def resident(pid: int) -> int:
    """Return a process's resident memory in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


@contextmanager
def program(command: list[str], **keywords: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(BENCH.parent)},
        **keywords,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


@contextmanager
def server() -> Iterator[tuple[int, str]]:
    """A server that may have many connections; its process and the URI of its object."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    command = f"ulimit -n {hard}; exec {sys.executable} {BENCH / 'contenders' / 'fastpyro_.py'} tcp"
    with program(["sh", "-c", command]) as process:
        assert process.stdout is not None
        yield process.pid, process.stdout.readline().strip()


def rows(*, quick: bool) -> list[report.Row]:
    """Return rows for memory a connection (KiB) and the latency of one active among the idle ones.

    The latency stands beside that of a server without idle connections, called in the same rounds.
    """
    import fastpyro

    most = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200)
    result = []
    nan = float("nan")
    with (
        server() as (pid, uri),
        server() as (_, uri_of_empty),
        program([sys.executable, "-c", HOLDER, uri], stdin=subprocess.PIPE) as holder,
        fastpyro.Proxy(uri) as proxy,
        fastpyro.Proxy(uri_of_empty) as proxy_of_empty,
    ):
        assert holder.stdin is not None
        assert holder.stdout is not None
        _times(proxy, 2000)
        before = resident(pid)
        for count in (1000,) if quick else (1000, most):
            holder.stdin.write(f"{count}\n")
            holder.stdin.flush()
            assert int(holder.stdout.readline()) == count
            times: list[float] = []
            times_of_empty: list[float] = []
            for _ in range(ROUNDS):
                times += _times(proxy, CALLS)
                times_of_empty += _times(proxy_of_empty, CALLS)
            title = f"null call, {count:,} idle connections"
            for name, figures in (("fastpyro", times), (WITHOUT, times_of_empty)):
                result.append(report.Row(title, "tcp", name, *latency(figures), None, None, ""))
            kibibytes = (resident(pid) - before) / count / 1024
            title = f"memory of each of {count:,} idle connections"
            result.append(report.Row(title, "tcp", "fastpyro", nan, nan, None, kibibytes, "KiB"))
    return result


def _times(proxy: Any, calls: int) -> list[float]:
    null, times = proxy.null, []
    for _ in range(calls):
        before = time.perf_counter()
        null()
        times.append(time.perf_counter() - before)
    return times


def latency(times: list[float]) -> tuple[float, float]:
    """Return median and 99th percentile in microseconds."""
    return statistics.median(times) * 1e6, sorted(times)[int(len(times) * 0.99)] * 1e6
