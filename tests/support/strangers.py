"""Daemons with keys, processes of other users, and pickles that leave a trace when they are read."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import fastpyro
from fastpyro.config import config

AS_ROOT = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can be somebody else as well"
)


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    before = config.as_dict()
    config.HANDSHAKE_TIMEOUT = config.COMMTIMEOUT = 10.0
    yield
    for name, value in before.items():
        setattr(config, name, value)


class Subject:
    """What is called."""

    @fastpyro.expose
    def echo(self, value: Any) -> Any:
        return value


@contextmanager
def served(key: Any = None, **arguments: Any) -> Iterator[Any]:
    """Yield a daemon that runs in a thread."""
    with fastpyro.Daemon(**(arguments or {"host": "127.0.0.1"})) as daemon:
        daemon.register(Subject(), "subject")
        daemon._pyroHmacKey = key
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        try:
            yield daemon
        finally:
            daemon.shutdown()
            thread.join(10)
            assert not thread.is_alive()


class Trap:
    """An object whose pickle creates a file when it is read. Argument: ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def trap_in(folder: Path) -> tuple[Path, bytes]:
    """Return the path of a file, and a pickle that creates it."""
    path = folder / "sprung"
    return path, pickle.dumps({"handshake": Trap(path), "object": "subject", "meta": {}})


OTHER_USERS_SERVER = """
import os, socket
os.setuid(65534)
name, answer = {name!r}, {answer!r}
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(name)
    listener.listen(1)
    print("listening", flush=True)
    client, _ = listener.accept()
    with client:
        got = client.recv(65536)
        print(len(got), flush=True)
        client.sendall(answer)
        client.recv(1)
"""


@contextmanager
def somebody_else(script: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
