"""Runs every example as a user would: its server and its client as processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from server_process import ServerProcess

EXAMPLES = Path(__file__).parent.parent / "examples"

# Folder: what its client must print, and its exit status.
CLIENTS: dict[str, tuple[list[str], int]] = {
    "oneway": (
        ["returned None after no time", "done already? False", "done in the end? True", "oneway call returns None"],
        0,
    ),
    "batchedcalls": (
        [
            "the last result is 19998",
            "a result: 3",
            "the batch ended with: division by zero",
            "in the background: 26",
        ],
        0,
    ),
    "async": (
        [
            "ready already? False",
            "their values: [100, 101, 102, 103, 104]",
            "about one call's time",
            "True value: 31",
            "told by iferror: division by zero",
            "raised where the value is read: division by zero",
            "the sum is 6",
        ],
        0,
    ),
    "callback": (
        [
            "step 1 of 3",
            "step 3 of 3",
            "the worker says: noted",
            "Exception in callback method",
            "ValueError: did not expect 'too late'",
        ],
        0,
    ),
    "exceptions": (
        [
            "left: 70",
            "our own class: 30 coins missing (account ada, missing 30)",
            "a builtin class: division by zero",
            "Remote traceback",
            "in divide",
        ],
        1,
    ),
    "timeout": (
        ["slept 0.1 s", "timed out: receiving: timeout", "slept 0.7 s", "timed out again: receiving: timeout"],
        0,
    ),
    "proxysharing": (["one shared proxy: 1600", "a copy for each thread: 1600"], 0),
    "coroutines": (
        [
            "a hundred calls are waiting; answered so far: 0",
            "answers: {100} fewer than 20 threads in the server: True",
        ],
        0,
    ),
    "streaming": (
        ["countdown: [5, 4, 3, 2, 1]", "fibonacci: [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89]", "done"],
        0,
    ),
}


def test_every_example_is_tested() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {*CLIENTS, "quickstart", "autoreconnect"}
    for folder in folders:
        assert {"server.py", "client.py", "README.md"} <= {path.name for path in (EXAMPLES / folder).iterdir()}


@pytest.mark.parametrize("name", CLIENTS)
def test_example(name: str) -> None:
    expected, status = CLIENTS[name]
    with ServerProcess(EXAMPLES / name / "server.py", "0") as server:
        uri = server.wait_for(r"uri = (\S+)")[1]
        with ServerProcess(EXAMPLES / name / "client.py", uri) as client:
            assert client.wait_for_end() == status, client.output
            for text in expected:
                assert text in client.output
        if name == "callback":
            server.wait_for("the observer raised: did not expect 'too late'")
        if name == "streaming":
            server.wait_for("the endless stream was closed")


def test_quickstart() -> None:
    with ServerProcess("-m", "fastpyro", "ns", "-n", "127.0.0.1", "-p", "0") as nameserver:
        host, port = nameserver.wait_for(r"^URI = PYRO:Pyro.NameServer@(\S+):(\d+)").groups()
        environment = {"PYRO_NS_HOST": host, "PYRO_NS_PORT": port}
        with ServerProcess(EXAMPLES / "quickstart" / "server.py", environment=environment) as server:
            server.wait_for("uri = PYRO:obj_")
            with ServerProcess(EXAMPLES / "quickstart" / "client.py", environment=environment) as client:
                assert client.wait_for_end() == 0, client.output
                assert "Hello, world!" in client.output


def test_autoreconnect() -> None:
    folder = EXAMPLES / "autoreconnect"
    with ServerProcess(folder / "server.py", "0") as first:
        uri = first.wait_for(r"uri = (\S+)")[1]
        port = uri.rpartition(":")[2]
        with ServerProcess(folder / "client.py", uri, "1") as client:
            client.wait_for(f"connected to process {first.pid}")
            first.kill()
            client.wait_for("connection lost")
            with ServerProcess(folder / "server.py", port) as second:
                second.wait_for("uri = ")
                client.wait_for(f"reconnected to process {second.pid}")
                assert client.wait_for_end() == 0


def test_demo() -> None:
    with ServerProcess(EXAMPLES / "demo.py") as demo:
        assert demo.wait_for_end(90) == 0, demo.output
        for text in ("add(2, 3): 5", "55", "999000", "[10, 20, 30, 40, 50]", "median", "everything is stopped"):
            assert text in demo.output
