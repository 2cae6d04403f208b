"""Loggers that import `logging` only when something is logged."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from fastpyro import _lazy_logging
from fastpyro._foreign_text import has_controls
from fastpyro._lazy_logging import LazyLogger, logger
from fastpyro.tracebacks import REMOTE_HEAD, attach_remote_traceback

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
from fastpyro import _lazy_logging
from fastpyro._foreign_text import has_controls
from fastpyro._lazy_logging import LazyLogger, logger
from fastpyro.tracebacks import REMOTE_HEAD, attach_remote_traceback
log = LazyLogger("fastpyro.test")
log.debug("unseen")
print("logging" in sys.modules)
log.warning("seen %d", 1)
print("logging" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (["False", "True"], "seen 1\n")


ATTACK = "x\n2026-11-27 root INFO all is well\x1b[2J\u202e\x9b"


def formatted(caplog: pytest.LogCaptureFixture) -> str:
    return "".join(logging.Formatter("%(message)s").format(record) + "\n" for record in caplog.records)


def test_foreign_text_adds_no_lines_and_steers_no_terminal(caplog: pytest.LogCaptureFixture) -> None:
    foreign = logger("fastpyro.test")
    assert foreign is logging.getLogger("fastpyro.test")
    assert len(logger("fastpyro.test").filters) == 1
    foreign.warning("%s wrote %s", ATTACK, ValueError(ATTACK))
    foreign.warning(ATTACK)
    log.warning("%s", ATTACK)
    assert formatted(caplog).count("\n") == 3
    assert not has_controls(formatted(caplog).replace("\n", ""))
    assert r"x\n2026-11-27 root INFO all is well\x1b[2J\u202e\x9b" in formatted(caplog)


def test_long_records_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    logger("fastpyro.test").warning("%s", "x" * 1_000_000)
    assert len(formatted(caplog)) < 5000


def test_tracebacks_cannot_look_like_records(caplog: pytest.LogCaptureFixture) -> None:
    error = ValueError(ATTACK)
    error.add_note(ATTACK)
    error.add_note(f"{REMOTE_HEAD}\n{ATTACK}")
    attach_remote_traceback(error, ["one\n", ATTACK])
    for failure in (error, SyntaxError(ATTACK), ExceptionGroup(ATTACK, [error])):
        try:
            raise failure
        except Exception:
            logger("fastpyro.test").exception("failed")
    text = formatted(caplog)
    assert "\n2026" not in text
    assert "ValueError: x\\n2026" in text
    assert not has_controls(text.replace("\n", ""))


def test_records_that_cannot_be_made_are_reported_by_logging(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger("fastpyro.test").warning("%d", "no number")


def test_every_logger_of_the_package_is_one_of_these() -> None:
    folder = Path(_lazy_logging.__file__).parent
    files = {str(path.relative_to(folder)) for path in folder.rglob("*.py") if "getLogger(" in path.read_text("utf-8")}
    # The last one hands loggers of Pyro's names to programs; nothing of ours is logged by them.
    assert files == {"_lazy_logging.py", "compat/shared/logs.py", "compat/shared/module_names.py"}
