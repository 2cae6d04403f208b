"""A good client in a process of its own, which measures what an attack on the daemon costs it.

Reads commands from standard input, one JSON object a line, and answers each with one:
``{"do": "calls", "uri": …, "seconds": n}`` makes null calls for so long and gives milliseconds p50, p99 and worst, their
count, and an error or null; ``{"do": "admissions", …}`` connects anew again and again and gives the worst.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import fastpyro

PATIENCE = 20.0
"""Seconds after which a call that is not answered has failed."""


def _figures(times: list[float], error: str | None) -> dict[str, Any]:
    ordered = sorted(times) or [PATIENCE]
    return {
        "p50": ordered[len(ordered) // 2] * 1000,
        "p99": ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)] * 1000,
        "worst": ordered[-1] * 1000,
        "count": len(times),
        "error": error,
    }


def calls(uri: str, seconds: float) -> dict[str, Any]:
    """Null calls over one connection, a hundred to a burst, with a breath in between: a client, no second flood."""
    times: list[float] = []
    try:
        with fastpyro.Proxy(uri) as proxy:
            proxy._pyroTimeout = PATIENCE
            proxy.null()
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                began = time.perf_counter()
                proxy.null()
                times.append(time.perf_counter() - began)
                if len(times) % 20 == 0:
                    time.sleep(0.002)
    except Exception as error:
        return _figures([*times, PATIENCE], f"{type(error).__name__}: {error}"[:300])
    return _figures(times, None)


def admissions(uri: str, seconds: float) -> dict[str, Any]:
    """New connections, one every tenth of a second."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    try:
        while True:
            began = time.perf_counter()
            with fastpyro.Proxy(uri) as proxy:
                proxy._pyroTimeout = PATIENCE
                proxy.null()
            times.append(time.perf_counter() - began)
            if time.perf_counter() >= end:
                return _figures(times, None)
            time.sleep(0.1)
    except Exception as error:
        return _figures([*times, PATIENCE], f"{type(error).__name__}: {error}"[:300])


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        measure = {"calls": calls, "admissions": admissions}[command["do"]]
        print(json.dumps(measure(command["uri"], command["seconds"])), flush=True)


if __name__ == "__main__":
    main()
