"""Hundreds of cases that run through real Pyro and through each pairing with its facade; what differs is in a short list."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from peers.cases import catalogue
from peers.differences import DIFFERENCES
from server_process import ServerProcess

HERE = Path(__file__).parent
PATIENCE = 100.0
PAGE = HERE.parents[1] / "docs" / "pages" / "compat.md"
REAL = ("real", "real")
FACADES = (("facade", "facade"), ("facade", "real"), ("real", "facade"))
"""Client and server."""

ENVIRONMENT = {"PYTHONWARNINGS": "ignore", "PYTHONHASHSEED": "0"}


def outcomes(library: str, client: str, server: str) -> list[dict[str, str]]:
    """Return what comes of each case between two processes, by what was done."""
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}
    with ServerProcess(HERE / "case_server.py", library, server, environment=environment) as running:
        uri = running.wait_for(r"^uri (\S+)$")[1]
        done = subprocess.run(
            [sys.executable, str(HERE / "case_client.py"), library, client, uri],
            input=json.dumps(catalogue()),
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found: list[dict[str, str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def all_outcomes(*libraries: str) -> dict[tuple[str, tuple[str, str]], list[dict[str, str]]]:
    """Run every pairing of each library, all at once: the real ones wait for each other's packets most of the time."""
    runs = [(library, pair) for library in libraries for pair in (REAL, *FACADES)]
    with ThreadPoolExecutor(len(runs)) as pool:
        return dict(zip(runs, pool.map(lambda run: outcomes(run[0], *run[1]), runs), strict=True))


def compared(found: dict[Any, list[dict[str, str]]], library: str) -> Iterator[tuple[str, str, str, tuple[str, str]]]:
    """Yield what differs: the case, what comes of it with real Pyro and here, and between whom."""
    for number, case in enumerate(catalogue()):
        real = found[library, REAL][number]
        for pair in FACADES:
            here = found[library, pair][number]
            for key in {**real, **here}:
                one, other = str(real.get(key)), str(here.get(key))
                if one != other:
                    yield f"{library} {case.kind} {case.source} {key}", one, other, pair


def unexplained(found: dict[Any, list[dict[str, str]]], library: str, used: set[str]) -> list[str]:
    """Return what differs and is in no line, and take note of the lines that something is in."""
    left = []
    for case, real, here, pair in compared(found, library):
        reasons = [line.reason for line in DIFFERENCES if line.covers(case, real, here)]
        used.update(reasons[:1])
        if not reasons:
            left.append(f"{case}\n    real:  {real[:300]}\n    {' client, '.join(pair)} server: {here[:300]}")
    return left


def test_what_differs_from_real_pyro_is_in_the_list() -> None:
    pytest.importorskip("Pyro4")
    pytest.importorskip("Pyro5")
    found = all_outcomes("Pyro5", "Pyro4")
    assert sum(map(len, found["Pyro5", REAL])) > 2000
    used: set[str] = set()
    left = unexplained(found, "Pyro5", used) + unexplained(found, "Pyro4", used)
    assert not left, "\n".join(left[:20])
    assert [line.reason for line in DIFFERENCES if line.reason not in used] == []


def test_the_docs_have_the_list() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    assert [line.reason for line in DIFFERENCES if f"- {line.reason}" not in lines] == []
