"""fastpyro as a peer of Pyro5: clients and daemons of both, on Pyro5's wire, beside Pyro5 with itself, in turns.

``python bench/bench_dialects.py`` prints a table for serpent and for msgpack: the median of a call, the CPU time of both
processes for each, and how much less that is than Pyro5 with Pyro5. Under pytest short rounds run; the ratios are checked.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

sys.path.insert(0, os.path.dirname(__file__))  # pytest does not put it there

from bench_peers import Peer, Sample, echo_call, null_call, one_round, running_server

SERIALIZERS = ("serpent", "msgpack")

WORKLOADS: dict[str, tuple[Callable[[Peer], int], int]] = {
    "null call": (null_call, 300),
    'echo("hello", 42, key=[1, 2, 3])': (echo_call, 300),
}

PAIRS = ("Pyro5 - Pyro5", "Pyro5 - fastpyro", "fastpyro - Pyro5", "fastpyro - fastpyro")
"""Client and daemon."""

LEAST_CPU_RATIO = {
    "serpent": {"Pyro5 - fastpyro": 1.1, "fastpyro - Pyro5": 0.9, "fastpyro - fastpyro": 3.0},
    "msgpack": {"Pyro5 - fastpyro": 1.0, "fastpyro - Pyro5": 0.8, "fastpyro - fastpyro": 1.6},
}
"""How many times less CPU than Pyro5 with itself both ends together may use, at the least, when the rounds are long. A
fastpyro client looks for its answer while a Pyro5 daemon is still at it, so that it answers sooner and not cheaper."""

SHORT_RUN = 0.7
"""Part of it that short rounds demand, which run beside other tests."""


@contextmanager
def pairs(serializer: str) -> Iterator[dict[str, Peer]]:
    """Give each pair, connected, with that serializer."""
    import Pyro5.api

    import fastpyro

    with ExitStack() as stack:
        uris = {name: stack.enter_context(running_server(name.lower())) for name in ("Pyro5", "fastpyro")}
        found: dict[str, Peer] = {}
        for name in PAIRS:
            client, server = name.split(" - ")
            proxy: Any = (fastpyro.Proxy if client == "fastpyro" else Pyro5.api.Proxy)(uris[server])
            proxy._pyroSerializer = serializer
            stack.callback(proxy._pyroRelease)
            found[name] = Peer(name, uris[server], proxy, fastpyro.batch, type(proxy))
        yield found


def compare(peers: dict[str, Peer], workload: Callable[[Peer], int], repeats: int, rounds: int) -> dict[str, Sample]:
    """Run one workload with all pairs in turns; returns what it cost with each."""
    samples = {name: Sample() for name in peers}
    for peer in peers.values():
        workload(peer)
    for number in range(rounds):
        names = list(peers) if number % 2 == 0 else list(reversed(peers))
        for name in names:
            one_round(peers[name], workload, repeats, samples[name])
    return samples


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_cpu_on_pyro5s_wire(serializer: str, request: pytest.FixtureRequest) -> None:
    timed = request.config.getoption("--benchmark")
    with pairs(serializer) as peers:
        for name, (workload, repeats) in WORKLOADS.items():
            samples = compare(peers, workload, repeats, 20 if timed else 5)
            base = samples["Pyro5 - Pyro5"].least_cpu
            for pair, least in LEAST_CPU_RATIO[serializer].items():
                ratio = base / samples[pair].least_cpu
                assert ratio >= least * (1 if timed else SHORT_RUN), f"{name}, {pair}: only {ratio:.2f} times less CPU"


def main() -> None:
    import Pyro5

    print(f"Pyro5 {Pyro5.__version__}, Python {sys.version.split()[0]}; microseconds a call; client - daemon")
    for serializer in SERIALIZERS:
        with pairs(serializer) as peers:
            for name, (workload, repeats) in WORKLOADS.items():
                samples = compare(peers, workload, repeats, 30)
                base = samples["Pyro5 - Pyro5"]
                for pair, sample in samples.items():
                    figures = (sample.median * 1e6, sample.p99 * 1e6, sample.median_cpu * 1e6)
                    times = "median {:7.1f}  p99 {:7.1f}  CPU {:6.1f}".format(*figures)
                    ratios = (
                        f"median {base.median / sample.median:5.2f}  CPU {base.median_cpu / sample.median_cpu:5.2f}"
                    )
                    print(f"{serializer:8} {name:34} {pair:20} {times}  ratios: {ratios}")


if __name__ == "__main__":
    main()
