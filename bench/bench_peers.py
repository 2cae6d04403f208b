"""fastpyro beside Pyro5: the same calls, in one run, in interleaved rounds, each end in a process of its own.

``python bench/bench_peers.py`` prints a table with the median and p99 of a call, the CPU time of both processes for
each call (getrusage) and the ratio. Under pytest the same rounds run short, and the ratios are checked (`pytest
--benchmark` runs them long). Wall times drift on shared machines; the CPU ratio is the steadier figure.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SERVERS = Path(__file__).with_name("peer_servers.py")


@dataclass
class Peer:
    """One library: its proxy and its batch for a running server."""

    name: str
    uri: str
    proxy: Any
    make_batch: Callable[[Any], Any]
    connect: Callable[[str], Any]


@dataclass
class Sample:
    """What one workload cost with one library: seconds a call, one figure for each round or call."""

    calls: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.calls)

    @property
    def p99(self) -> float:
        return sorted(self.calls)[int(len(self.calls) * 0.99)]

    @property
    def median_cpu(self) -> float:
        return statistics.median(self.cpu)

    @property
    def least_cpu(self) -> float:
        """Of the rounds that nothing else disturbed most: what runs beside them can only add to it."""
        return min(self.cpu)


def own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def running_server(library: str) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, str(SERVERS), library], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        uri = process.stdout.readline().strip()
        assert uri.startswith("PYRO:"), f"the {library} server did not start"
        yield uri
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def both_peers() -> Iterator[tuple[Peer, Peer]]:
    """Give fastpyro and Pyro5, each connected to its own server."""
    import Pyro5.api

    import fastpyro

    with running_server("fastpyro") as our_uri, running_server("pyro5") as their_uri:
        ours = Peer("fastpyro", our_uri, fastpyro.Proxy(our_uri), fastpyro.batch, fastpyro.Proxy)
        theirs = Peer("Pyro5", their_uri, Pyro5.api.Proxy(their_uri), Pyro5.api.BatchProxy, Pyro5.api.Proxy)
        try:
            yield ours, theirs
        finally:
            ours.proxy._pyroRelease()
            theirs.proxy._pyroRelease()


def null_call(peer: Peer) -> int:
    assert peer.proxy.null() is None
    return 1


def echo_call(peer: Peer) -> int:
    assert peer.proxy.echo("hello", 42, key=[1, 2, 3]) == [["hello", 42], {"key": [1, 2, 3]}]
    return 1


def batch_of_1000(peer: Peer) -> int:
    batch = peer.make_batch(peer.proxy)
    for number in range(1000):
        batch.add(number, number)
    assert list(batch())[999] == 1998
    return 1000


def oneway_burst(peer: Peer) -> int:
    for number in range(200):
        peer.proxy.note(number)
    assert peer.proxy.last_note() is not None
    return 201


def connect_call_close(peer: Peer) -> int:
    with peer.connect(peer.uri) as proxy:
        assert proxy.add(2, 3) == 5
    return 1


WORKLOADS: dict[str, tuple[Callable[[Peer], int], int]] = {
    "null call": (null_call, 400),
    'echo("hello", 42, key=[1, 2, 3])': (echo_call, 400),
    "batch of 1,000 x add(i, i)": (batch_of_1000, 3),
    "oneway burst": (oneway_burst, 2),
    "connection + call + close": (connect_call_close, 60),
}
"""Name: the workload, and how often it runs in a round."""


def one_round(peer: Peer, workload: Callable[[Peer], int], repeats: int, sample: Sample) -> None:
    server_before, client_before = peer.proxy.cpu_seconds(), own_cpu()
    calls = 0
    for _ in range(repeats):
        before = time.perf_counter()
        count = workload(peer)
        sample.calls.append((time.perf_counter() - before) / count)
        calls += count
    client = own_cpu() - client_before
    sample.cpu.append((client + peer.proxy.cpu_seconds() - server_before) / calls)


def compare(peers: tuple[Peer, Peer], name: str, rounds: int) -> tuple[Sample, Sample]:
    """Run one workload with both libraries in turns; returns what it cost with each."""
    workload, repeats = WORKLOADS[name]
    samples = (Sample(), Sample())
    for peer in peers:
        workload(peer)
    for number in range(rounds):
        for index in (0, 1) if number % 2 == 0 else (1, 0):
            one_round(peers[index], workload, repeats, samples[index])
    return samples


LEAST_CPU_RATIO = {
    "null call": 4.0,
    'echo("hello", 42, key=[1, 2, 3])': 5.0,
    "batch of 1,000 x add(i, i)": 25.0,
    "oneway burst": 20.0,
    "connection + call + close": 2.0,
}
"""How many times less CPU than Pyro5 both ends together may use, at the least, when the rounds are long."""

SHORT_RUN = 0.4
"""Part of it that the short rounds of a plain pytest demand: they run beside other tests, on a machine that is not still."""


@pytest.fixture(scope="module")
def peers() -> Iterator[tuple[Peer, Peer]]:
    with both_peers() as pair:
        yield pair


@pytest.mark.parametrize("name", WORKLOADS)
def test_cpu_beside_pyro5(name: str, peers: tuple[Peer, Peer], request: pytest.FixtureRequest) -> None:
    timed = request.config.getoption("--benchmark")
    rounds, least = (30, LEAST_CPU_RATIO[name]) if timed else (6, LEAST_CPU_RATIO[name] * SHORT_RUN)
    ours, theirs = compare(peers, name, rounds)
    ratio = theirs.median_cpu / ours.median_cpu
    assert ratio >= least, f"{name}: only {ratio:.1f} times less CPU than Pyro5"


def main() -> None:
    import Pyro5

    print(f"fastpyro beside Pyro5 {Pyro5.__version__}, Python {sys.version.split()[0]}; microseconds a call")
    print(f"{'workload':36} {'':9} {'median':>8} {'p99':>8} {'CPU':>8}")
    with both_peers() as pair:
        for name in WORKLOADS:
            samples = compare(pair, name, rounds=30)
            for peer, sample in zip(pair, samples, strict=True):
                figures = (sample.median * 1e6, sample.p99 * 1e6, sample.median_cpu * 1e6)
                print(f"{name:36} {peer.name:9} " + " ".join(f"{figure:8.1f}" for figure in figures))
            ours, theirs = samples
            print(
                f"{'':36} {'ratio':9} {theirs.median / ours.median:8.1f} {'':8} {theirs.median_cpu / ours.median_cpu:8.1f}"
            )


if __name__ == "__main__":
    main()
