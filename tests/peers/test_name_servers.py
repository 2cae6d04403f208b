"""Name servers of fastpyro, Pyro5 and Pyro4, used by clients of all three, which register one object and find it again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from peers.test_pairings import PATIENCE, needs, served
from server_process import ServerProcess

HERE = Path(__file__).parent

EXPECTED = {
    "lookup": True,
    "metadata": [True, ["one", "tag"]],
    "list": ["Pyro.NameServer", "first", "second"],
    "prefix": True,
    "regex": ["first", "second"],
    "unknown": "NamingError",
    "safe": "NamingError",
    "by name": 7,
    "by metadata": 7,
    "removed": 1,
    "count": 2,
    "by broadcast": True,
}

PAIRS = [
    ("fastpyro", "fastpyro"),
    ("fastpyro", "Pyro5"),
    ("fastpyro", "Pyro4"),
    ("Pyro5", "fastpyro"),
    ("Pyro4", "fastpyro"),
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))


@pytest.mark.parametrize(("server", "client"), PAIRS)
def test_name_server(server: str, client: str) -> None:
    needs(server, client)
    with served(client) as subject, ServerProcess(HERE / "name_server.py", server, "0") as running:
        uri = subject.wait_for(r"^uri (\S+)$")[1]
        found = running.wait_for(r"^uri PYRO:Pyro\.NameServer@([^:\s]+):(\d+) (\d+)$")
        done = subprocess.run(
            [sys.executable, str(HERE / "name_visitor.py"), client, found[1], found[2], uri, found[3]],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == EXPECTED


def test_one_name_server_for_all() -> None:
    needs("Pyro4", "Pyro5")
    with ServerProcess(HERE / "name_server.py", "fastpyro", "0") as running:
        place = running.wait_for(r"^uri PYRO:Pyro\.NameServer@([^:\s]+):(\d+) (\d+)$")
        for client in ("Pyro4", "Pyro5", "fastpyro"):
            with served(client) as subject:
                uri = subject.wait_for(r"^uri (\S+)$")[1]
                command = [sys.executable, str(HERE / "name_visitor.py"), client, place[1], place[2], uri, "0"]
                done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
                assert done.returncode == 0, done.stdout + done.stderr
