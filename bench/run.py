"""`make bench`: every workload against every contender that is installed, beside the C yardsticks, in interleaved rounds.

Each end is a process of its own. Rounds go round the contenders, and the C programs of the step (`floor`), so that a
machine that gets slower or faster meanwhile does so for all of them; figures are medians and 99th percentiles over all
calls of all rounds, CPU is that of both processes (getrusage). The tables and the picture go to docs/pages/performance.md
(`report`), the bounds are in `bounds`.

    python bench/run.py [--quick] [--only WORD] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))  # fastpyro of this tree

import accept_storm
import bounds
import floor
import idle_connections
import report
import workloads
import yardsticks

BENCH = Path(__file__).parent
CONTENDERS = ("fastpyro_", "sockets_msgspec", "thriftpy2_", "pyzmq_", "rpyc_", "pyro5", "pyro4", "zerorpc_", "grpcio_")
MIB = 1 << 20


class Step(NamedTuple):
    """One workload of the run."""

    title: str
    workload: str
    times: int
    """How often in a round."""
    size: int | None = None
    transports: tuple[str, ...] = ("tcp", "unix")
    contenders: tuple[str, ...] = CONTENDERS
    needs: str | None = None
    """An attribute of the client that must not be None."""
    placed: str = ""
    """"one core" pins both ends to one, "two cores" each to its own; both switch spinning off. "apart" pins each end to
    its own in the default configuration: what two free processors give, wherever the system would put the ends."""
    rounds: int = 10
    unit: str = ""
    """Show a rate besides: "calls/s" or "bytes/s"."""
    slow_times: int | None = None
    """How often in a round for libraries that are an order of magnitude slower."""
    floor: tuple[floor.Floor, ...] = ()
    """The C programs to measure beside it."""


SLOW = frozenset({"pyro4", "pyro5", "zerorpc_", "grpcio_", "rpyc_", "thriftpy2_"})
OURS = ("fastpyro_",)
FEW = ("fastpyro_", "sockets_msgspec", "thriftpy2_", "pyro5")
BUSY = (floor.ping_pong("busy"), floor.ping_pong("spinning"))
WARM, FRESH = (floor.stream("warm"),), (floor.stream("fresh"),)
BULK = ("fastpyro_", "sockets_msgspec", "thriftpy2_", "pyzmq_", "rpyc_", "grpcio_")

STEPS: tuple[Step, ...] = (
    Step("null call", "null", 1500, slow_times=300, floor=BUSY),
    Step('echo("hello", 42, key=[1, 2, 3])', "echo", 1500, needs="echo", slow_times=300, floor=BUSY[:1]),
    Step("null call, an end on each core", "null", 1500, transports=("tcp",), placed="apart", slow_times=300),
    Step(
        "null call, both ends on one core, SPIN=0",
        "null",
        1500,
        contenders=FEW,
        placed="one core",
        floor=(floor.ping_pong("blocking", 0),),
    ),
    Step(
        "null call, an end on each core, SPIN=0",
        "null",
        1500,
        contenders=FEW,
        placed="two cores",
        floor=(floor.ping_pong("blocking", (0, 1)),),
    ),
    Step("batch of 1,000 x add(i, i), each", "batch", 10, transports=("tcp",), needs="batch", unit="calls/s"),
    Step("items of a stream, each", "items", 10, transports=("tcp",), needs="items", unit="calls/s", slow_times=1),
    Step("oneway burst, each", "oneway", 2, transports=("tcp",), needs="oneway", unit="calls/s"),
    Step("1,000 dicts of 4 fields, echo", "rows", 15, needs="rows", slow_times=3),
    Step(
        "connection + call + close",
        "connect",
        60,
        transports=("tcp",),
        unit="calls/s",
        slow_times=20,
        floor=(floor.visits(),),
    ),
    Step("1 client thread", "threads", 3, 1, ("tcp",), FEW, unit="calls/s", rounds=6),
    Step("4 client threads", "threads", 3, 4, ("tcp",), FEW, unit="calls/s", rounds=6, floor=(floor.crowd(4),)),
    Step("16 client threads", "threads", 3, 16, ("tcp",), FEW, unit="calls/s", rounds=6, floor=(floor.crowd(16),)),
    Step("16 client threads, one proxy", "threads_sharing", 3, 16, ("tcp",), OURS, unit="calls/s", rounds=6),
    Step("futures, 1 in flight", "futures", 1000, 1, ("tcp",), needs="futures", unit="calls/s", slow_times=200),
    Step("futures, 100 in flight", "futures", 100, 100, ("tcp",), needs="futures", unit="calls/s", slow_times=20),
    Step("64 MiB array up", "upload_array", 2, 64 * MIB, contenders=OURS, unit="bytes/s", floor=WARM),
    Step("64 MiB array down", "download_array", 2, 64 * MIB, contenders=OURS, unit="bytes/s", floor=WARM),
    Step("64 MiB array echoed", "echo_array", 2, 64 * MIB, contenders=OURS, unit="bytes/s", floor=WARM),
    Step("8 MiB array up", "upload_array", 10, 8 * MIB, contenders=OURS, unit="bytes/s", floor=WARM),
    Step("8 MiB array down", "download_array", 10, 8 * MIB, contenders=OURS, unit="bytes/s", floor=WARM),
    Step("8 MiB array echoed", "echo_array", 10, 8 * MIB, contenders=OURS, unit="bytes/s", floor=WARM),
    Step("8 MiB array down, 100 a second", "camera", 30, 8 * MIB, contenders=OURS, floor=WARM),
    Step("64 MiB bytes up", "upload", 1, 64 * MIB, contenders=BULK, unit="bytes/s", rounds=6, floor=FRESH),
    Step("64 MiB bytes down", "download", 1, 64 * MIB, contenders=BULK, unit="bytes/s", rounds=6, floor=FRESH),
    Step("64 KiB bytes echoed", "echo_bytes", 100, 64 << 10, contenders=BULK, unit="bytes/s", rounds=6, slow_times=5),
)


class Measured(NamedTuple):
    """What one contender needed for one step over one transport."""

    seconds: list[float]
    cpu: list[float]


class Ends:
    """A contender's server process and client process."""

    def __init__(self, contender: str, transport: str, placed: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(BENCH.parent)}
        placements = {"": ((), ()), "one core": (_on(0), _on(0))}
        server, client = placements.get(placed, (_on(0), _on(1)))
        if placed in ("one core", "two cores"):
            environment["FASTPYRO_SPIN"] = "0"
        self._folder = tempfile.TemporaryDirectory()
        script = workloads.CONTENDERS / f"{contender}.py"
        command = [*server, sys.executable, str(script), transport, f"{self._folder.name}/socket"]
        self._server = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        assert self._server.stdout is not None
        address = self._server.stdout.readline().strip()
        assert address, f"the server of {contender} did not start"
        command = [*client, sys.executable, str(BENCH / "workloads.py"), contender, address]
        self._client = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._answer() == "ready"

    def _answer(self) -> Any:
        assert self._client.stdout is not None
        line = self._client.stdout.readline()
        assert line, f"a client process ended with {self._client.wait()}"
        return json.loads(line)

    def run(self, step: Step, times: int) -> Measured:
        command = {"workload": step.workload, "times": times}
        if step.size is not None:
            command["size"] = step.size
        assert self._client.stdin is not None
        self._client.stdin.write(json.dumps(command) + "\n")
        self._client.stdin.flush()
        answer = self._answer()
        calls = {"batch": 1000, "oneway": 1000, "items": 20_000}.get(step.workload, 1)
        if step.workload == "futures":
            calls = step.size or 1
        return Measured(answer["seconds"], [answer["cpu"] / len(answer["seconds"]) / calls])

    def close(self) -> None:
        for process in (self._client, self._server):
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        self._folder.cleanup()


def _on(cpu: int) -> tuple[str, ...]:
    return ("taskset", "-c", str(cpu))


@contextmanager
def running(contenders: Sequence[str], transport: str, placed: str) -> Iterator[dict[str, Ends]]:
    with ExitStack() as stack:
        ends = {}
        for contender in contenders:
            ends[contender] = Ends(contender, transport, placed)
            stack.callback(ends[contender].close)
        yield ends


def installed() -> list[str]:
    """Return the contenders whose libraries can be imported here, and say which cannot."""
    found = []
    for contender in CONTENDERS:
        try:
            print(f"{workloads.load(contender).NAME} {workloads.load(contender).version()}")
            found.append(contender)
        except ImportError as error:
            print(f"not installed: {contender} ({error})")
    return found


def measure(step: Step, transport: str, contenders: Sequence[str], rounds: int) -> list[report.Row]:
    """Measure a step in rounds, its floor included; a row for each contender and each program of the floor."""
    usable = []
    for contender in contenders:
        module = workloads.load(contender)
        able = step.needs is None or getattr(module.Client, step.needs) is not None
        if able and contender in step.contenders and transport in module.TRANSPORTS:
            usable.append(contender)
    with running(usable, transport, step.placed) as ends:
        samples = {contender: Measured([], []) for contender in usable}
        grounds: list[list[Any]] = [[] for _ in step.floor]
        for number in range(rounds + 1):
            for contender in usable if number % 2 else reversed(usable):
                times = step.slow_times if step.slow_times and contender in SLOW else step.times
                measured = ends[contender].run(step, times if number else max(1, times // 5))
                if number:  # the first round warms up
                    samples[contender].seconds.extend(measured.seconds)
                    samples[contender].cpu.extend(measured.cpu)
            for program, results in zip(step.floor, grounds, strict=True):
                results.append(program.run(transport))
    below = [
        floor.row(step.title, transport, program, results) for program, results in zip(step.floor, grounds, strict=True)
    ]
    return below + [row_of(step, transport, contender, measured) for contender, measured in samples.items()]


def row_of(step: Step, transport: str, contender: str, measured: Measured) -> report.Row:
    seconds = sorted(measured.seconds)
    median = statistics.median(seconds)
    rate = None
    if step.unit == "calls/s":
        rate = 1 / median
    elif step.unit == "bytes/s":
        rate = (step.size or 0) * (2 if "echo" in step.workload else 1) / median
    p99 = seconds[int(len(seconds) * 0.99)] * 1e6 if len(seconds) >= 100 else float("nan")
    cpu: float | None = statistics.median(measured.cpu) * 1e6
    if step.workload in ("threads", "threads_sharing"):
        cpu = None  # the client's own count is not known to it
    if step.workload == "oneway":
        cpu = None
    name = workloads.load(contender).NAME
    return report.Row(step.title, transport, name, median * 1e6, p99, cpu, rate, step.unit)


IMPORT_ROUNDS = 15


def import_seconds(statements: Sequence[str]) -> list[float]:
    """Return what each statement takes in a fresh interpreter: medians of rounds that go round them."""
    runs: list[list[float]] = [[] for _ in statements]
    with tempfile.TemporaryDirectory() as cache:  # compiled, as what pip has installed is
        environment = {**os.environ, "PYTHONPATH": str(BENCH.parent), "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(IMPORT_ROUNDS + 1):
            for statement, seconds in zip(statements, runs, strict=True):
                code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
                command = [sys.executable, "-c", code]
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
                if number:  # the first round compiles
                    seconds.append(float(done.stdout))
    return [statistics.median(seconds) for seconds in runs]


def import_rows(contenders: Sequence[str]) -> list[report.Row]:
    """Measure how long importing takes."""
    statements = {"fastpyro": "import fastpyro"}
    if "pyro5" in contenders:
        statements["Pyro5"] = "import Pyro5.api"
    return [
        report.Row("import", "", name, seconds * 1e6, float("nan"), None, None, "")
        for name, seconds in zip(statements, import_seconds(list(statements.values())), strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Times fastpyro beside the C yardsticks and other libraries.")
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing is written")
    parser.add_argument(
        "--only", default="", metavar="WORD", help="only steps with this in their title; nothing is written"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    options = parser.parse_args()
    began = time.monotonic()
    contenders = installed()
    yardsticks.build()
    rows = []
    for step in STEPS:
        if options.only not in step.title:
            continue
        for transport in step.transports:
            print(f"{time.monotonic() - began:6.0f} s  {step.title} over {transport}", flush=True)
            for row in measure(step, transport, contenders, 1 if options.quick else step.rounds):
                rows.append(row)
                print(f"          {row.contender:24} {row.median_us:12.2f} us  {row.rate or 0:16,.0f}", flush=True)
    if options.only in ("", "import"):
        rows += import_rows(contenders)
    if not options.only:
        rows += idle_connections.rows(quick=options.quick)
    if options.only in ("", "storm"):
        rows += accept_storm.rows()
    checked = bounds.check(rows)
    for bound in checked:
        verdict = "met   " if bound.met else "MISSED"
        print(f"{verdict} {bound.text}: {bound.measured} ({bound.ratio:.2f}, limit {bound.limit})")
    if options.json:
        options.json.write_text(json.dumps([row._asdict() for row in rows], indent=1))
    if not options.quick and not options.only:
        report.write(rows, checked)


if __name__ == "__main__":
    main()
