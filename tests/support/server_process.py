"""Server programs in processes of their own: started, waited for by a line that they print, and always stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

TESTS = Path(__file__).parent
PATIENCE = 30.0
"""Seconds after which a program that says nothing has failed."""


class ServerProcess:
    """A Python program that serves. Arguments: the command line behind the interpreter; ``environment`` to add.

    A context manager: the process is gone when the block ends. ``wait_for(pattern)`` returns the match in its output,
    which a thread reads all the time, so that the program never waits for us to take it. ``descriptors`` stay open in it.
    """

    def __init__(
        self,
        *command: str | Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        self.command: Sequence[str] = [sys.executable, *map(str, command)]
        self.output = ""
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            cwd=folder,
            pass_fds=descriptors,
        )
        self._said_more = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        while data := os.read(self.process.stdout.fileno(), 65536):
            with self._said_more:
                self.output += data.decode("utf-8", "replace")
                self._said_more.notify_all()
        with self._said_more:
            self._ended = True
            self._said_more.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
        """Wait until the pattern is found in the output; AssertionError when the program ends or the time is over."""
        deadline = time.monotonic() + seconds
        with self._said_more:
            while (found := re.search(pattern, self.output, re.MULTILINE)) is None:
                assert not self._ended, self._said(f"it ended without {pattern!r}")
                assert self._said_more.wait(max(deadline - time.monotonic(), 0.0)), self._said(
                    f"no {pattern!r} in time"
                )
        return found

    def wait_for_end(self, seconds: float = PATIENCE) -> int:
        """Wait until the program ends by itself; returns its exit status, with all output in ``output``."""
        try:
            status = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(self._said("it did not end")) from None
        self._reader.join(PATIENCE)
        return status

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _said(self, what: str) -> str:
        return f"{' '.join(self.command)}: {what}; it said:\n{self.output}"


class SubjectServer(ServerProcess):
    """``subjects.py`` in a process of its own. Arguments: those of its command line. ``uri(name)`` gives an object's URI."""

    def __init__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(TESTS / "subjects.py", *arguments, environment=environment)
        try:
            self.location = self.wait_for(r"^location = (.+)$")[1].strip()
        except BaseException:
            self.stop()
            raise

    def uri(self, name: str = "calculator") -> str:
        return f"PYRO:{name}@{self.location}"
