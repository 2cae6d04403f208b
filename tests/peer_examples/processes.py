"""One running program: what it has printed so far, what it is told, how it is stopped with all its children.

Knows nothing of examples or of Pyro.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

OUTPUT_LIMIT = 4 << 20
"""Bytes of output that are kept; an endless program may print for as long as it likes."""

END_SECONDS = 10.0
"""How long a process that was killed may take to be gone."""


class Process:
    """A child process in a process group of its own, with its output collected by a thread."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            bufsize=0,
        )
        self._changed = threading.Condition()
        self._output = bytearray()
        self._ended = False  # all who could write to its output have closed it
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def _collect(self) -> None:
        assert self._process.stdout is not None
        while chunk := self._process.stdout.read(65536):
            with self._changed:
                self._output += chunk[: max(0, OUTPUT_LIMIT - len(self._output))]
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def output(self) -> str:
        """All it has printed so far, errors included, in the order of printing."""
        with self._changed:
            return self._output.decode(errors="replace")

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def wait_for(self, pattern: str, deadline: float, start: int = 0) -> re.Match[str] | None:
        """Wait until it has printed something.

        Args:
            pattern: a regular expression, searched in the whole output; `^` and `$` match at every line.
            deadline: until when, in the time of `time.monotonic`.
            start: number of characters of the output to skip.

        Returns:
            the match, or None when it ended without printing that, or the time was over.
        """
        compiled = re.compile(pattern, re.MULTILINE)
        with self._changed:
            while True:
                found = compiled.search(self._output.decode(errors="replace"), start)
                left = deadline - time.monotonic()
                if found is not None or self._ended or left <= 0:
                    return found
                self._changed.wait(left)

    def wait_until_ended(self, deadline: float) -> int | None:
        """Wait until it has ended.

        Returns:
            the exit status, or None when the time was over.
        """
        try:
            status = self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None
        # A child that lives on may hold the output open for ever; what the program itself printed is there by then.
        self._reader.join(min(1.0, max(0.0, deadline - time.monotonic())))
        return status

    def tell(self, line: str) -> None:
        """Write a line to its standard input; a program that no longer listens is not an error."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(line.encode() + b"\n")

    def tell_no_more(self) -> None:
        """Close its standard input."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def interrupt(self) -> None:
        """Do what Control-C does: interrupt the whole process group."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End it and all it has started, and collect what is left of it."""
        self._signal(signal.SIGKILL)
        self.tell_no_more()
        self._process.wait(END_SECONDS)
        self._reader.join(END_SECONDS)
        assert self._process.stdout is not None
        if not self._reader.is_alive():
            self._process.stdout.close()

    def _signal(self, number: int) -> None:
        # The group outlives its leader while a child runs, and its number is not given away as long.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
