"""Every feature between every pair of fastpyro, Pyro5 and Pyro4, each end the real library in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from server_process import ServerProcess

HERE = Path(__file__).parent
PATIENCE = 60.0

EXPECTED: dict[str, Any] = {
    "handshake": ["you said", "good day"],
    "call": 7,
    "values": [[None, True, 1, -(2**70), 2.5, "té\n'\"", [1, [2]]], {"key": {"k": [3]}}],
    "error": ["ValueError", "why", 17, True],
    "builtin error": ["ZeroDivisionError"],
    "attribute": 3,
    "attribute set": 5,
    "unknown": ["AttributeError"],
    "batch": [3, [["x"], {}], 7],
    "batch that fails": [3, "ZeroDivisionError"],
    "oneway batch": None,
    "oneway": ["in a batch", "oneway"],
    "stream": [0, 1, 2, 3],
    "stream's start": [0, 1],
    "annotations": ["sent", "00000000-0000-0000-0000-000000000007"],
    "response annotations": "returned",
    "autoproxy": "Proxy",
    "blob": [{"about": 1}, [1, "two"]],
    "compression": 20000,
    "callback": ["received", "hello"],
    "refused": ["CommunicationError", True],
}

PAIRS = [
    *(("fastpyro", "fastpyro", name) for name in ("-", "serpent", "json", "msgpack")),
    *(("Pyro5", "fastpyro", name) for name in ("-", "serpent", "json", "msgpack")),
    *(("fastpyro", "Pyro5", name) for name in ("-", "json", "msgpack")),
    *(("Pyro4", "fastpyro", name) for name in ("-", "serpent", "json", "msgpack")),
    *(("fastpyro", "Pyro4", name) for name in ("-", "json", "msgpack")),
]


def needs(*libraries: str) -> None:
    for name in libraries:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")  # Pyro4's own
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))


def served(library: str, *arguments: str) -> ServerProcess:
    return ServerProcess(HERE / "subject.py", library, *arguments)


def visit(library: str, uri: str, serializer: str = "-", key: str = "-", *more: str, fds: Any = ()) -> dict[str, Any]:
    """Run the client program; returns what came of each feature."""
    done = subprocess.run(
        [sys.executable, str(HERE / "visitor.py"), library, uri, serializer, key, *more],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        pass_fds=fds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome


def expected(serializer: str, **changes: Any) -> dict[str, Any]:
    result = {**EXPECTED, **changes}
    if serializer == "json":
        result["blob"] = None  # the peers return the wrong part of one
    return result


@pytest.mark.parametrize(("server", "client", "serializer"), PAIRS)
def test_every_feature(server: str, client: str, serializer: str) -> None:
    needs(server, client)
    with served(server) as running:
        uri = running.wait_for(r"^uri (\S+)$")[1]
        assert visit(client, uri, serializer) == expected(serializer)


@pytest.mark.parametrize(
    ("server", "client", "serializer"),
    [
        ("fastpyro", "fastpyro", "-"),
        ("fastpyro", "Pyro4", "-"),
        ("Pyro4", "fastpyro", "-"),
        ("fastpyro", "Pyro4", "pickle"),
        ("Pyro4", "fastpyro", "pickle"),
        ("fastpyro", "Pyro4", "dill"),
        ("Pyro4", "fastpyro", "dill"),
        ("fastpyro", "Pyro4", "cloudpickle"),
        ("Pyro4", "fastpyro", "cloudpickle"),
    ],
)
def test_with_an_hmac_key(server: str, client: str, serializer: str) -> None:
    needs(server, client)
    if serializer != "-":
        needs(serializer)
    with served(server, "secret") as running:
        uri = running.wait_for(r"^uri (\S+)$")[1]
        assert visit(client, uri, serializer, "secret") == expected(serializer)


def test_all_kinds_of_clients_at_once() -> None:
    needs("Pyro4", "Pyro5")
    with served("fastpyro") as running, ThreadPoolExecutor(6) as threads:
        uri = running.wait_for(r"^uri (\S+)$")[1]
        kinds = ["fastpyro", "Pyro5", "Pyro4"] * 2
        unshared = {"attribute", "oneway"}  # of one object that all use
        for outcome in threads.map(lambda kind: visit(kind, uri), kinds):
            assert {key: value for key, value in outcome.items() if key not in unshared} == {
                key: value for key, value in EXPECTED.items() if key not in unshared
            }


@pytest.mark.parametrize(
    ("server", "client"),
    [
        ("fastpyro", "fastpyro"),
        ("fastpyro", "Pyro5"),
        ("Pyro5", "fastpyro"),
        ("fastpyro", "Pyro4"),
        ("Pyro4", "fastpyro"),
    ],
)
def test_over_a_connected_socket(server: str, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if server == "Pyro4":
        monkeypatch.setenv("FASTPYRO_PROTOCOL", "48")  # without a handshake there is no other way to know
    needs(server, client)
    near, far = socket.socketpair()
    with near, far:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "subject.py"), server, "-", str(far.fileno())],
            pass_fds=(far.fileno(),),
            stdout=subprocess.DEVNULL,
        )
        far.close()
        try:
            outcome = visit(client, "subject", "-", "-", str(near.fileno()), fds=(near.fileno(),))
            near.close()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()
    without = {key: value for key, value in EXPECTED.items() if key not in {"handshake", "refused", "autoproxy"}}
    assert {key: value for key, value in outcome.items() if key != "autoproxy"} == without
