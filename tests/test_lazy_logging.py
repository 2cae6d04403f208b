"""Loggers that import `logging` only when something is logged."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from fastpyro.lazy_logging import LazyLogger

log = LazyLogger("fastpyro.test")


@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING])
def test_messages_reach_the_logger_of_that_name_and_say_where_they_come_from(
    level: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "fastpyro.test"):
        (log.debug if level == logging.DEBUG else log.warning)("%s and %d", "text", 5)
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("fastpyro.test", level, "text and 5")
    assert (record.filename, record.funcName) == (Path(__file__).name, sys._getframe().f_code.co_name)


def test_a_level_that_nobody_asked_for_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "fastpyro.test"):
        log.debug("nothing")
    assert caplog.records == []


def test_debugging_imports_nothing_and_warnings_are_seen_all_the_same() -> None:
    program = """
import sys
from fastpyro.lazy_logging import LazyLogger
log = LazyLogger("fastpyro.test")
log.debug("unseen")
print("logging" in sys.modules)
log.warning("seen %d", 1)
print("logging" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (["False", "True"], "seen 1\n")
