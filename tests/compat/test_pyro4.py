"""The facade of Pyro4: runs the tests of `pyro4/` each in a process of its own, in which ``import Pyro4`` is the facade.

Installing a facade changes the configuration of the whole process, and what arrives in it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "pyro4"
ROOT = Path(__file__).parents[2]
SECONDS = 100


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("test_*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_under_the_facade(path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYRO_", "FASTPYRO_"))}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    command = ["-m", "fastpyro.compat", "Pyro4", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
