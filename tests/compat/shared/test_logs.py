"""Logging under a peer's names."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastpyro.compat.shared.logs import SILENT, configure


@pytest.fixture
def loggers() -> Iterator[None]:
    own = logging.getLogger("fastpyro.some_module")
    parent = logging.getLogger("fastpyro").parent
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.getLogger("fastpyro").parent = parent
    own.name = "fastpyro.some_module"
    for handler in set(logging.root.handlers) - set(handlers):
        handler.close()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_records_carry_the_peers_names(loggers: None, caplog: pytest.LogCaptureFixture) -> None:
    configure("PyroX", "x.log", {"fastpyro.some_module": "PyroX.part"})
    logging.getLogger("PyroX").setLevel(logging.INFO)
    logging.getLogger("fastpyro.some_module").info("hello")
    assert ("PyroX.part", logging.INFO, "hello") in caplog.record_tuples


def test_silent_unless_asked_for(loggers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYRO_LOGLEVEL", raising=False)
    logging.root.handlers[:] = []
    configure("PyroY", "y.log", {})
    assert logging.getLogger("PyroY").level == SILENT
    monkeypatch.setenv("PYRO_LOGLEVEL", "DEBUG")
    monkeypatch.setenv("PYRO_LOGFILE", "{stderr}")
    configure("PyroY", "y.log", {})
    assert isinstance(logging.root.handlers[0], logging.StreamHandler)


def test_a_file_that_cannot_be_written(loggers: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    logging.root.handlers[:] = []
    monkeypatch.setenv("PYRO_LOGLEVEL", "INFO")
    monkeypatch.setenv("PYRO_LOGFILE", str(tmp_path / "nowhere" / "x.log"))
    configure("PyroZ", "z.log", {})
    assert type(logging.root.handlers[0]) is logging.StreamHandler
