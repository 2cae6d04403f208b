"""Something happens between two bytecodes: an interrupt, or the collector that runs a destructor.

`happening(number, event)` counts the bytecodes that this thread runs in the block, in fastpyro's own files, and lets
the event happen before the one with that number; `each_number` takes a path with 0, 1, 2 … until it has no more bytecodes.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastpyro

OURS = (str(Path(fastpyro.__file__).parent), "elsewhere")
"""Files whose bytecodes count; tests that make code of their own say that it is from elsewhere."""

TOOL = 4
"""The id of `sys.monitoring` that is used, from CPython 3.12 on: one of those without a meaning."""

STRIDE = int(os.environ.get("BYTECODE_STRIDE", "1"))
"""How many times fewer places are tried: CI tries all of them on one Python, and a part of them on the others."""

MOST = 20_000
"""Bytecodes of one path; more are a path that does not end."""


class happening:
    """Lets an event happen before one bytecode of this thread. Attribute: ``happened``, whether it did."""

    def __init__(self, number: int, event: Callable[[], object], seen: Callable[[str], object] | None = None) -> None:
        self.number = number
        self.event = event
        self.seen = seen  # is told the name of each function whose bytecodes are counted
        self.happened = False
        self.count = 0
        self.code: types.CodeType | None = None
        self.thread = threading.get_ident()

    def __enter__(self) -> happening:
        if sys.version_info >= (3, 12):
            watch_instructions(self._instruction)
        else:
            sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        if sys.version_info >= (3, 12):
            watch_instructions(None)
        else:
            sys.settrace(None)

    def _trace(self, frame: types.FrameType, what: str, _argument: Any) -> Any:
        if what == "call":
            if not frame.f_code.co_filename.startswith(OURS):
                return None  # the standard library's own locks, of logging and of importing, are its own matter
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif what == "opcode":
            self._count(frame.f_code)
        return self._trace

    def _instruction(self, code: types.CodeType, _offset: int) -> None:
        if threading.get_ident() == self.thread and code.co_filename.startswith(OURS):
            self._count(code)

    def _count(self, code: types.CodeType) -> None:
        if self.seen is not None and code is not self.code:
            self.seen(code.co_name)
            self.code = code
        self.count += 1
        if self.count > self.number and not self.happened:
            self.happened = True
            self.event()


def watch_instructions(callback: Callable[[types.CodeType, int], None] | None) -> None:
    """Call a function before each bytecode of Python code, or stop doing so. From CPython 3.12 on.

    `sys.settrace` begins to name single bytecodes only when it is set for the second time there.
    """
    monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]  # a newer Python than the oldest of ours
    if callback is not None:
        monitoring.use_tool_id(TOOL, "every_bytecode")
        monitoring.register_callback(TOOL, monitoring.events.INSTRUCTION, callback)
        monitoring.set_events(TOOL, monitoring.events.INSTRUCTION)
        return
    monitoring.set_events(TOOL, 0)
    monitoring.register_callback(TOOL, monitoring.events.INSTRUCTION, None)
    monitoring.free_tool_id(TOOL)


def interrupt() -> None:
    """Be Ctrl-C."""
    raise KeyboardInterrupt


class Destructor:
    """Runs an action when it is destroyed, and keeps what came of it."""

    def __init__(self, action: Callable[[], Any], outcome: list[Any]) -> None:
        self.action = action
        self.outcome = outcome

    def __del__(self) -> None:
        try:
            self.outcome.append(self.action())
        except BaseException as error:
            self.outcome.append(error)


def each_number(path: Callable[[int], happening], step: int = 1) -> int:
    """Take a path again and again, with the event ``step`` bytecodes later each time; returns how many bytecodes it has."""
    for number in itertools.count(0, step * STRIDE):
        assert number < MOST, "the path does not end"
        if not path(number).happened:
            return number
    raise AssertionError


def in_time(action: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Run an action in a thread of its own: what it returned or raised. AssertionError when it hangs."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(action())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert outcome, f"still running after {seconds} seconds: {stack_of(thread)}"
    return outcome[0]


def interrupted(number: int, use: Callable[[], object]) -> happening:
    """Do something with an interrupt before the bytecode of that number; returns whether there was one.

    A thread of its own does it: an interrupt right before a bytecode that leaves an `except` block, where real ones cannot
    come, leaves Python's own record of the exception behind in its thread.
    """

    def work() -> happening:
        with contextlib.suppress(KeyboardInterrupt), happening(number, interrupt) as interruption:
            use()
        return interruption

    outcome = in_time(work)
    assert isinstance(outcome, happening), outcome
    return outcome


def stack_of(thread: threading.Thread) -> str:
    """Return where a thread is."""
    import traceback

    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame)) if frame is not None else "gone"
