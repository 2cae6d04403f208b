"""A pytest plugin: writes down what comes of each test as it ends, and fails the tests that take too long.

It runs in the process of the tests, where nothing of this project may be imported. SUITE_REPORT names the file,
SUITE_SECONDS the time that one test may take.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest


class Reporter:
    """Writes one line of JSON for each test that begins, and one or more for how it ended."""

    def __init__(self, path: str, seconds: float) -> None:
        self._file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - open until the process ends
        self._seconds = seconds

    def _write(self, **line: Any) -> None:
        self._file.write(json.dumps(line) + "\n")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        self._write(test=item.nodeid, outcome="started")
        signal.signal(signal.SIGALRM, self._too_long)
        # Again and again: a test may take the failure for one of its own.
        signal.setitimer(signal.ITIMER_REAL, self._seconds, 1.0)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _too_long(self, number: int, frame: Any) -> None:
        pytest.fail(f"took more than {self._seconds:g} s")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Iterator[None]:
        report: Any = yield
        if report.outcome != "passed" or report.when == "call":
            self._write(test=item.nodeid, outcome=report.outcome, reason=reason_of(report, call.excinfo))
        return report  # type: ignore[no-any-return]

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._write(test="", outcome="ended")

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            last = str(report.longrepr).strip().splitlines()[-1]
            self._write(test=report.nodeid, outcome="failed", reason=f"not collected: {last}")


def reason_of(report: Any, failure: Any) -> str:
    """Return one line about a test that did not pass: for a skip its reason, else the exception and where it was."""
    if failure is None:
        return ""
    if report.outcome == "skipped":
        return str(getattr(failure.value, "msg", failure.value))
    text = str(failure.value).strip().split("\n")[0][:200]
    where = failure.traceback[-1]
    return f"{type(failure.value).__name__}: {text} ({os.path.basename(where.path)}:{where.lineno + 1})"


def pytest_configure(config: Any) -> None:
    path = os.environ["SUITE_REPORT"]
    config.pluginmanager.register(Reporter(path, float(os.environ["SUITE_SECONDS"])), "peer-suite-reporter")
