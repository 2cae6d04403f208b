"""``fastpyro config`` prints every item, as the environment sets it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fastpyro.cli import main
from fastpyro.config import ITEMS


def test_prints_every_item(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    output = capsys.readouterr().out
    for item in ITEMS:
        assert f"\n{item.name} = " in output
    assert "version: " in output


def test_shows_the_environment() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fastpyro", "config"],
        env={**os.environ, "PYRO_NS_PORT": "1234"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "\nNS_PORT = 1234\n" in done.stdout
