"""Programs that run under a facade, in processes of their own: installing one changes the whole process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PATIENCE = 60.0


def run_under(
    facade: str,
    *command: str,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m fastpyro.compat FACADE command…`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "fastpyro.compat", facade, *command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **(environment or {})},
        check=False,
    )


def output_of(facade: str, folder: Path, program: str, *arguments: str, **more: str) -> str:
    """Write a program, run it, and return what it printed; AssertionError when it failed."""
    script = folder / "program.py"
    script.write_text(program, encoding="utf-8")
    done = run_under(facade, str(script), *arguments, environment=more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
