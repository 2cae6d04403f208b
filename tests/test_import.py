"""Importing the package: what it says where it cannot work."""

from __future__ import annotations

import subprocess
import sys


def test_without_the_lock_of_python_the_import_is_refused() -> None:
    # What a free-threaded build with PYTHON_GIL=0 says of itself.
    program = "import sys; sys._is_gil_enabled = lambda: False; import fastpyro"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert "ImportError: fastpyro relies on Python's global lock" in ended.stderr
    assert "PYTHON_GIL" in ended.stderr


def test_with_the_lock_it_is_not() -> None:
    program = "import sys; sys._is_gil_enabled = lambda: True; import fastpyro; print(fastpyro.__name__)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (ended.stdout, ended.stderr) == ("fastpyro\n", "")
