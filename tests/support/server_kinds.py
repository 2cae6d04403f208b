"""Servers of each kind: both server types over the native and the portable channel, and over TLS."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from server_process import SubjectServer

import fastpyro

DEADLINE = 30.0
"""Seconds after which a test has failed."""

KINDS = {
    "thread": ["--servertype", "thread"],
    "multiplex": ["--servertype", "multiplex"],
    "portable thread": ["--servertype", "thread", "--set", "PORTABLE=True"],
    "portable multiplex": ["--servertype", "multiplex", "--set", "PORTABLE=True"],
    "tls thread": ["--servertype", "thread", "--set", "SSL=True"],
    "tls multiplex": ["--servertype", "multiplex", "--set", "SSL=True"],
}


class Start:
    """Starts servers of one kind. Arguments of a call: items to set."""

    def __init__(self, kind: str, certificate: str) -> None:
        self.arguments = list(KINDS[kind])
        self.kind = kind
        if kind.startswith("tls"):
            self.arguments += ["--set", f"SSL_SERVERCERT={certificate!r}"]

    @contextlib.contextmanager
    def __call__(self, **items: Any) -> Iterator[SubjectServer]:
        settings = [text for name, value in items.items() for text in ("--set", f"{name}={value!r}")]
        with SubjectServer(*self.arguments, *settings) as server:
            yield server


def resident(server: SubjectServer) -> int:
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * 4096


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline


@contextlib.contextmanager
def connected(server: SubjectServer, name: str = "calculator") -> Iterator[Any]:
    with fastpyro.Proxy(server.uri(name)) as proxy:
        proxy._pyroTimeout = DEADLINE
        proxy._pyroBind()
        yield proxy
