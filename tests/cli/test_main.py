"""The command line as a whole: which command runs, exit codes, and errors in one line."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

import fastpyro.cli
from fastpyro.cli import COMMANDS, main


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastpyro", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_runs_as_a_module() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"fastpyro {fastpyro.__version__}\n")
    done = run("nsc", "-n", "127.0.0.1", "-p", "1", "ping")
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.startswith(
        "Error: NamingError - Failed to locate the nameserver at 127.0.0.1:1: connection refused"
    )
    assert done.stderr.count("\n") == 1


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    output = capsys.readouterr().out
    for name, meaning in COMMANDS.items():
        assert f"  {name:6}  {meaning}" in output


@pytest.mark.parametrize("name", list(COMMANDS))
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: fastpyro {name} " in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["--nonsense"], ["ns", "--nonsense"], ["nsc"], ["call", "x"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: fastpyro" in capsys.readouterr().err


def test_errors_in_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    outcome: list[BaseException] = []

    def fail(options: object) -> int:
        raise outcome[0]

    command = SimpleNamespace(
        __doc__="",
        EPILOG="",
        run=fail,
        add_arguments=lambda parser: parser.add_argument("-v", "--verbose", action="store_true"),
    )
    monkeypatch.setitem(sys.modules, "fastpyro.cli.config", command)
    outcome[:] = [ValueError("two\nlines")]
    assert main(["config"]) == 1
    assert capsys.readouterr().err == "Error: ValueError - two lines\n"
    assert main(["config", "-v"]) == 1
    errors = capsys.readouterr().err
    assert "Traceback" in errors
    assert errors.endswith("\nError: ValueError - two lines\n")
    outcome[:] = [KeyboardInterrupt()]
    assert main(["config"]) == 130


def test_reader_that_goes_away_is_no_disaster() -> None:
    command = f"{sys.executable} -m fastpyro config | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1)
    assert not done.stderr
