"""Installing facades, and running programs under them."""

from __future__ import annotations

from pathlib import Path

import pytest
from compat.programs import output_of, run_under

FACADES = ["Pyro5", "Pyro4"]


@pytest.mark.parametrize("facade", FACADES)
def test_a_script_sees_its_arguments_and_its_folder(facade: str, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("value = 7", encoding="utf-8")
    program = f"import sys, beside, {facade}; print(__name__, sys.argv[1:], beside.value, {facade}.__name__)"
    assert output_of(facade, tmp_path, program, "-x", "two words") == f"__main__ ['-x', 'two words'] 7 {facade}\n"


@pytest.mark.parametrize("facade", FACADES)
def test_a_module(facade: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("import sys; print(__name__, sys.argv[1:]); sys.exit(3)", encoding="utf-8")
    done = run_under(facade, "-m", "module", "a", folder=tmp_path)
    assert (done.returncode, done.stdout) == (3, "__main__ ['a']\n")


@pytest.mark.parametrize("arguments", [[], ["Pyro6", "x.py"], ["Pyro5"], ["Pyro5", "-m"]])
def test_wrong_command_lines(arguments: list[str]) -> None:
    done = run_under(*(arguments or [""]))
    assert done.returncode == 2
    assert "usage: python -m fastpyro.compat" in done.stderr
    assert "usage" in run_under("--help").stdout


@pytest.mark.parametrize("facade", FACADES)
def test_installing_twice_and_too_late(facade: str, tmp_path: Path) -> None:
    program = f"""
import sys, types
from fastpyro.compat import install
import {facade}
assert install("{facade}") is {facade}
del sys.modules["{facade}"]
sys.modules["{facade}"] = types.ModuleType("{facade}")
for name in ("{facade}", "Pyro3"):
    try:
        install(name)
    except (ImportError, ValueError) as error:
        print(type(error).__name__, error)
"""
    lines = output_of(facade, tmp_path, program).splitlines()
    assert lines[0].startswith(f"ImportError {facade} has been imported already")
    assert lines[1].startswith("ValueError there are facades for")


@pytest.mark.parametrize("facade", FACADES)
def test_reloading(facade: str, tmp_path: Path) -> None:
    program = f"import importlib, {facade}; print(importlib.reload({facade}) is {facade})"
    assert output_of(facade, tmp_path, program, PYRO_LOGLEVEL="DEBUG", PYRO_LOGFILE="{stderr}") == "True\n"


@pytest.mark.parametrize("facade", FACADES)
def test_environment_and_logging_count_at_the_first_import(facade: str, tmp_path: Path) -> None:
    program = f"""
import logging, os, sys
assert "{facade}" not in sys.modules
os.environ.update(PYRO_NS_PORT="7123", PYRO_SPIN="3", PYRO_LOGLEVEL="DEBUG", PYRO_LOGFILE="{tmp_path}/own.log")
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(name)s %(levelname)s")
import {facade}, fastpyro
there, level = os.path.exists("{tmp_path}/own.log"), logging.getLogger("{facade}").level
print({facade}.config.NS_PORT, fastpyro.config.SPIN, there, level)
logging.getLogger("fastpyro.daemon").info("x")
"""
    lines = output_of(facade, tmp_path, program).splitlines()
    assert lines[-2:] == ["7123 3 False 0", {"Pyro4": "Pyro4.core INFO", "Pyro5": "Pyro5.server INFO"}[facade]]


def test_variables_that_are_no_items_are_errors_under_pyro5_only(tmp_path: Path) -> None:
    program = """
import os
os.environ["PYRO_XYZ"] = "1"
try:
    import {0}
    print("imported")
except ValueError as error:
    print(error)
"""
    assert output_of("Pyro4", tmp_path, program.format("Pyro4")) == "imported\n"
    refused = "invalid Pyro environment config variable: PYRO_XYZ\n"
    assert output_of("Pyro5", tmp_path, program.format("Pyro5")) == refused
