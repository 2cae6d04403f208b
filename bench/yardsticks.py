"""Builds and runs yardsticks.c: what this machine's sockets cost in C, the floor that every bench is held against.

``python bench/yardsticks.py`` prints a table. Knows nothing of fastpyro and of the peers; needs a C compiler.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SOURCES = Path(__file__).resolve().parent
PROGRAMS = ROOT / "build" / "yardsticks"

MIB = 1 << 20
LONGEST_RUN = 130.0
"""Seconds; the program's own limit is 120, so this one only ends what has lost its parent's attention."""

Transport = Literal["tcp", "unix"]
Mode = Literal["blocking", "busy", "spinning"]
Memory = Literal["warm", "fresh"]


class YardstickError(RuntimeError):
    """The program could not be built, or it failed."""


class PingPong(NamedTuple):
    """What one exchange of a small message cost, in microseconds."""

    median_us: float
    p99_us: float
    cpu_us: float
    """User and system time of both processes together."""
    exchanges: int


def build(name: str = "yardsticks") -> Path:
    """Compile a program when its source is newer than it.

    Arguments:
        name: "yardsticks" for exchanges and streams, "crowd" for many clients, "visits" for connections.

    Returns:
        The program's path, under build/yardsticks/.

    Raises:
        YardstickError: There is no C compiler, or it refused the source.
    """
    source, program = SOURCES / f"{name}.c", PROGRAMS / name
    if program.exists() and program.stat().st_mtime_ns > source.stat().st_mtime_ns:
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    # Under a name of its own first: two benches that build at once never run half a file.
    unfinished = program.with_name(f"{name}.{os.getpid()}")
    compiler = shlex.split(os.environ.get("CC") or "cc")
    command = [*compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", str(source), "-o", str(unfinished)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=LONGEST_RUN)
        unfinished.replace(program)
    except FileNotFoundError:
        raise YardstickError(f"no C compiler {compiler[0]!r}: install one, or name another in CC") from None
    except subprocess.CalledProcessError as error:
        raise YardstickError(f"{shlex.join(command)} failed:\n{error.stderr}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return program


def run(*arguments: str, program: str = "yardsticks") -> dict[str, Any]:
    """Run a program with these arguments; returns what it printed."""
    done = subprocess.run([str(build(program)), *arguments], capture_output=True, text=True, timeout=LONGEST_RUN)
    if done.returncode != 0:
        raise YardstickError(done.stderr.strip() or f"yardsticks ended with {done.returncode}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def ping_pong(
    transport: Transport,
    mode: Mode,
    *,
    pinned: int | tuple[int, int] | None = None,
    exchanges: int = 3000,
    size: int = 64,
) -> PingPong:
    """Measure the exchange of a small message between two processes.

    Arguments:
        transport: Loopback TCP without delay, or a pair of Unix sockets.
        mode: How both ends wait: in recv(), polling all the time, or polling with sched_yield() for 50 µs at most.
        pinned: The CPU of both processes, or those of the server and of the client. None leaves the system to place
            them, which decides more than anything else what a blocking exchange takes.
        exchanges: How many are timed, after a tenth of it to warm up.
        size: Bytes of the message, in each direction.

    Raises:
        YardstickError: It could not be built, or refused these arguments (busy polling on one CPU), or failed.
    """
    arguments = ["--transport", transport, "--mode", mode, "--exchanges", str(exchanges), "--size", str(size)]
    if pinned is not None:
        cpus = (pinned,) if isinstance(pinned, int) else pinned
        arguments += ["--pin", ",".join(str(cpu) for cpu in cpus)]
    return PingPong(**run("pingpong", *arguments))


def stream(transport: Transport, memory: Memory, *, total: int = 1024 * MIB, chunk: int = 64 * MIB) -> float:
    """Measure a stream of 1 MiB writes from one process to another.

    Arguments:
        transport: Loopback TCP, or a pair of Unix sockets.
        memory: Whether the receiver fills the same memory again and again, or new memory for each chunk.
        total: Bytes that are timed, after one chunk to warm up; rounded up to whole chunks.
        chunk: Bytes that the receiver takes into one piece of memory; a multiple of 1 MiB.

    Returns:
        Bytes a second.

    Raises:
        YardstickError: It could not be built, or refused these arguments, or failed.
    """
    whole = -(-total // chunk) * chunk
    arguments = ["--transport", transport, "--memory", memory, "--bytes", str(whole), "--chunk", str(chunk)]
    return float(run("stream", *arguments)["bytes_per_second"])


def crowd(threads: int, *, seconds: int = 1) -> float:
    """Measure how many exchanges of 64 bytes a second so many threads of one process make with another process over TCP.

    Raises:
        YardstickError: It could not be built, or refused these arguments, or failed.
    """
    return float(run(str(threads), str(seconds), program="crowd")["exchanges_per_second"])


def visits(count: int = 2000) -> float:
    """Measure how many connections a second a client makes over TCP, each with two exchanges of 64 bytes, one by one.

    Raises:
        YardstickError: It could not be built, or failed.
    """
    return float(run(str(count), program="visits")["visits_per_second"])


TRANSPORTS: tuple[Transport, ...] = ("tcp", "unix")
MODES: tuple[Mode, ...] = ("blocking", "busy", "spinning")
MEMORIES: tuple[Memory, ...] = ("warm", "fresh")


def placements() -> dict[str, int | tuple[int, int] | None]:
    """Name the ways to place two processes on the CPUs that this one may use."""
    cpus = sorted(os.sched_getaffinity(0))
    ways: dict[str, int | tuple[int, int] | None] = {"system's choice": None, "one CPU": cpus[-1]}
    if len(cpus) > 1:
        ways["two CPUs"] = (cpus[-2], cpus[-1])
    return ways


def main() -> None:
    """Print all yardsticks."""
    print("ping-pong of 64 bytes, microseconds an exchange")
    print(f"{'transport':10} {'both ends wait':15} {'placed':16} {'median':>8} {'p99':>8} {'CPU':>8}")
    for transport in TRANSPORTS:
        for mode in MODES:
            for name, pinned in placements().items():
                if mode == "busy" and isinstance(pinned, int):
                    continue  # two loops that never sleep cannot share a CPU
                figures = ping_pong(transport, mode, pinned=pinned)
                print(f"{transport:10} {mode:15} {name:16} " + " ".join(f"{figure:8.2f}" for figure in figures[:3]))
    print("\nstream of 1 MiB writes, GB/s")
    print(f"{'transport':10} {'64 MiB of memory':17} {'rate':>6}")
    for transport in TRANSPORTS:
        for memory in MEMORIES:
            print(f"{transport:10} {memory:17} {stream(transport, memory) / 1e9:6.2f}")


if __name__ == "__main__":
    try:
        main()
    except YardstickError as error:
        sys.exit(f"yardsticks: {error}")
