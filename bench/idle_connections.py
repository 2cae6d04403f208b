"""How much memory an idle connection takes in a fastpyro server, and what thousands of them cost the others."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import report

BENCH = Path(__file__).parent
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


def rows(*, quick: bool) -> list[report.Row]:
    """Return rows for memory a connection (KiB) and the latency of one active among the idle ones."""
    import fastpyro

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = min(10_000, hard - 200)
    environment = {**os.environ, "PYTHONPATH": str(BENCH.parent)}
    command = f"ulimit -n {hard}; exec {sys.executable} {BENCH / 'contenders' / 'fastpyro_.py'} tcp"
    server = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True, env=environment)
    assert server.stdout is not None
    uri = server.stdout.readline().strip()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    result = []
    try:
        with fastpyro.Proxy(uri) as proxy:
            latency = _latency(proxy)
            result.append(report.Row("null call, 0 idle connections", "tcp", "fastpyro", *latency, None, None, ""))
            before = resident(server.pid)
            for count in (1000,) if quick else (1000, most):
                holder.stdin.write(f"{count}\n")
                holder.stdin.flush()
                assert int(holder.stdout.readline()) == count
                title = f"null call, {count:,} idle connections"
                result.append(report.Row(title, "tcp", "fastpyro", *_latency(proxy), None, None, ""))
                kibibytes = (resident(server.pid) - before) / count / 1024
                nan = float("nan")
                title = f"memory of each of {count:,} idle connections"
                result.append(report.Row(title, "tcp", "fastpyro", nan, nan, None, kibibytes, "KiB"))
    finally:
        for process in (holder, server):
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
    return result


def _latency(proxy: object) -> tuple[float, float]:
    null, times = proxy.null, []  # type: ignore[attr-defined]
    for _ in range(20_000):
        before = time.perf_counter()
        null()
        times.append(time.perf_counter() - before)
    times.sort()
    return statistics.median(times) * 1e6, times[int(len(times) * 0.99)] * 1e6
