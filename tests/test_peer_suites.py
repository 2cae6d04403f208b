"""The machinery that runs the peers' own tests, tried on small suites of its own: no network, and no Pyro."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from peer_examples import fetch, run
from peer_examples.runner import Launcher
from peer_examples.suites import BROKEN, FAILED, PASSED, SKIPPED, SuiteRunner, TestOutcome, by_reason, kind_of

MIXED = """
import pytest, time
def test_good(): pass
def test_bad(): assert 1 == 2, "numbers 1 and 2"
@pytest.mark.skip(reason="not today")
def test_skipped(): pass
class TestMore:
    def teardown_method(self): raise KeyError("late")
    def test_ends_badly(self): pass
"""
SLOW = """
import threading
def test_first(): pass
def test_slow(): threading.Event().wait()
def test_last(): pass
"""
ENDING = """
import os
def test_first(): pass
def test_ends_all(): os._exit(3)
def test_last(): pass
"""
LINGERING = """
import threading
def test_leaves_a_thread(): threading.Thread(target=threading.Event().wait).start()
"""


@pytest.fixture
def runner() -> SuiteRunner:
    launcher = Launcher(sys.executable, {"PATH": os.environ["PATH"]}, facade=False)
    return SuiteRunner(launcher, 5)


def outcomes(runner: SuiteRunner, folder: Path, **sources: str) -> dict[str, TestOutcome]:
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    return {outcome.name.partition("::")[2] or outcome.name: outcome for outcome in runner.run(folder)}


def test_each_test_has_an_outcome_and_a_reason(runner: SuiteRunner, tmp_path: Path) -> None:
    found = outcomes(runner, tmp_path, test_mixed=MIXED, test_broken="import no_such_module", helper="")
    assert {name: one.outcome for name, one in found.items()} == {
        "test_good": PASSED,
        "test_bad": FAILED,
        "test_skipped": SKIPPED,
        "TestMore::test_ends_badly": FAILED,
        "test_broken.py": FAILED,
    }
    assert found["test_bad"].reason == "AssertionError: numbers 1 and 2 (test_mixed.py:4)"
    assert found["test_skipped"].reason == "not today"
    assert found["TestMore::test_ends_badly"].reason.startswith("KeyError: 'late'")
    assert "no_such_module" in found["test_broken.py"].reason
    assert sorted(path.name for path in tmp_path.iterdir()) == ["helper.py", "test_broken.py", "test_mixed.py"]


def test_a_test_that_takes_too_long_fails_and_the_others_are_run(runner: SuiteRunner, tmp_path: Path) -> None:
    runner.test_seconds = 0.5
    found = outcomes(runner, tmp_path, test_slow=SLOW)
    assert [found[name].outcome for name in ("test_first", "test_slow", "test_last")] == [PASSED, FAILED, PASSED]
    assert "took more than 0.5 s" in found["test_slow"].reason


def test_a_process_that_ends_in_between_costs_one_test(runner: SuiteRunner, tmp_path: Path) -> None:
    found = outcomes(runner, tmp_path, test_ending=ENDING, test_lingering=LINGERING)
    assert found["test_ends_all"] == TestOutcome("test_ending.py::test_ends_all", FAILED, BROKEN)
    others = ("test_first", "test_last", "test_leaves_a_thread")
    assert [found[name].outcome for name in others] == [PASSED] * 3


def test_reasons_are_counted_without_what_differs() -> None:
    assert kind_of("KeyError: 17 at 0x7f00 (test_x.py:9)") == "KeyError: # at #"
    text = by_reason(
        [
            TestOutcome("a", PASSED),
            TestOutcome("b", FAILED, "KeyError: 1 (x.py:1)"),
            TestOutcome("c", FAILED, "KeyError: 2 (x.py:2)"),
            TestOutcome("d", SKIPPED, "no time"),
        ]
    )
    assert text.splitlines() == [
        "1 of 4 passed, 2 failed, 1 skipped",
        "  failed    2  KeyError: #",
        "  skipped    1  no time",
    ]


def test_the_command_runs_a_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test_one.py").write_text(MIXED, encoding="utf-8")
    (tmp_path / "test_two.py").write_text("def test_good(): pass", encoding="utf-8")
    monkeypatch.setattr(run, "suite_of", lambda generation, cache: tmp_path)
    options = ["--suite", "--with", "peer", "--generation", "4"]
    assert run.main(options) == 1
    printed = capsys.readouterr().out
    assert "Pyro4  test_one.py::test_bad  AssertionError" in printed
    assert "Pyro4: 2 of 5 passed, 2 failed, 1 skipped" in printed
    assert run.main([*options, "--only", "test_two"]) == 0


def test_where_a_suite_lies(tmp_path: Path) -> None:
    for generation, archive in fetch.SUITES.items():
        folder = tmp_path / f"{archive.file_name}-{archive.sha256[:12]}-tests" / "tests"
        folder.mkdir(parents=True)
        assert fetch.suite_of(generation, tmp_path) == (folder / "PyroTests" if generation == 4 else folder)
