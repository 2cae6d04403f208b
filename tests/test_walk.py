"""The walks in ARCHITECTURE.md are the ones that calls take: every function is where it says, and runs in that order."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from conversations import until
from socket_pairs import Peer

import fastpyro
from fastpyro import aio
from fastpyro.futures import thread_pool

ROOT = Path(__file__).parent.parent
PACKAGE = Path(fastpyro.__file__).parent
SECTION = re.search(r"^## A call's way\n(.*?)^## ", (ROOT / "ARCHITECTURE.md").read_text(), re.M | re.S)


def walks() -> dict[str, list[str]]:
    """Return the lists by their titles: `path.function` or `path.Class.function` of each step."""
    assert SECTION is not None
    _, *parts = re.split(r"^### (.*)\n", SECTION[1], flags=re.M)
    return {
        title: re.findall(r"^\d+\. `([^`]+)`", text, re.M) for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


WALKS = walks()


def sources(step: str) -> tuple[list[Path], str]:
    """Return the files in which a step may be defined, and the name of its function."""
    path, *names = step.split(".")
    files = [
        ROOT / "fastpyro" / f"{path}.py",
        *(ROOT / "csrc" / "fastpyro" / f"{path}{end}" for end in (".pyx", ".pxd")),
    ]
    return [file for file in files if file.exists()], names[-1]


@pytest.mark.parametrize("step", sorted({step for steps in WALKS.values() for step in steps}))
def test_every_function_is_where_it_says(step: str) -> None:
    files, name = sources(step)
    assert files
    definition = re.compile(rf"^\s*(?:async def|def|cp?def\b[^=\n]*?)\s+{name}\(", re.M)
    assert any(definition.search(file.read_text()) for file in files), f"no {name} in {files}"


def test_all_others_in_the_text_are_there_too() -> None:
    assert SECTION is not None
    for step in re.findall(r"`((?!tests/)[a-z]+/\w+(?:\.\w+)+)`", SECTION[1]):
        files, name = sources(step)
        assert any(re.search(rf"\b{name}\(", file.read_text()) for file in files), step


@fastpyro.expose
class Subject:
    def nothing(self) -> None:
        return None

    def fail(self) -> None:
        raise ValueError("as it shall")

    def items(self) -> Iterator[int]:
        yield from range(3)


class Trace:
    """The Python functions of fastpyro that are entered, by any thread that begins after it: `path.Class.function`."""

    def __init__(self) -> None:
        self.entered: list[str] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(PACKAGE):
            name = file.relative_to(PACKAGE).with_suffix("").as_posix()
            self.entered.append(f"{name}.{frame.f_code.co_qualname}")

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        before = sys.getprofile()
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(before)
            threading.setprofile(before)


def call(proxy: Any) -> None:
    assert proxy.nothing() is None


def serpent_call(proxy: Any) -> None:
    proxy._pyroSerializer = "serpent"
    proxy._pyroReconnect()
    call(proxy)


def error(proxy: Any) -> None:
    with pytest.raises(ValueError, match="as it shall"):
        proxy.fail()


def item(proxy: Any) -> None:
    assert list(proxy.items()) == [0, 1, 2]  # the first one is fetched alone


def asynchronous(proxy: Any) -> None:
    assert fastpyro.asyncproxy(proxy).nothing().value is None


def bind(proxy: Any) -> None:
    proxy._pyroReconnect()


def awaited(proxy: Any) -> None:
    async def main() -> None:
        async with aio.Proxy(proxy) as other:
            assert await other.nothing() is None

    asyncio.run(main())


MAKERS: dict[str, Callable[[Any], None]] = {
    "An ordinary call": call,
    "The slow path": serpent_call,
    "An error": error,
    "An item of a stream": item,
    "An asynchronous call": asynchronous,
    "An awaited call": awaited,
    "A connection": bind,
}


def test_every_walk_is_tried() -> None:
    assert list(WALKS) == list(MAKERS)


@pytest.mark.skipif(fastpyro.config.PORTABLE, reason="the walks are those of the native channel")
@pytest.mark.parametrize("title", MAKERS)
def test_a_call_takes_the_walk(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as it is in Python. Native functions are not seen."""
    # Threads that wait for work since earlier tests are not followed.
    monkeypatch.setattr(thread_pool.CallThreads, "_hand_to_idle", lambda threads, job: False)
    trace = Trace()
    with trace.following(), fastpyro.Daemon(host="127.0.0.1") as daemon, Peer(daemon.requestLoop):
        uri = daemon.register(Subject())
        try:
            with fastpyro.Proxy(uri) as proxy:
                proxy.nothing()
                start = len(trace.entered)
                MAKERS[title](proxy)
                seen = trace.entered[start:]
        finally:
            daemon.shutdown()
    in_python = [step for step in WALKS[title] if (PACKAGE / f"{step.split('.')[0]}.py").exists()]
    if title == "An ordinary call":
        native = {step.split(".")[0] for step in WALKS[title]} - {step.split(".")[0] for step in in_python}
        assert native == {"client/_session", "transport/_link", "server/_calls", "server/_call_form"}
        assert not [name for name in seen if name.startswith(("client/session", "server/dispatch", "server/replies"))]
        return
    position = 0
    for step in in_python:
        assert step in seen[position:], f"{step} does not come next; {seen[position : position + 30]}"
        position += seen[position:].index(step) + 1


def test_trace_sees_this_file_not() -> None:
    trace = Trace()
    with trace.following():
        until(lambda: True)
    assert trace.entered == []
