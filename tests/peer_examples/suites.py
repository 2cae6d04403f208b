"""Runs a peer's own test suite, on the peer or on fastpyro in its place, and sorts what fails by its reason.

Every file of tests runs in a process of its own. A test that takes too long fails; a process that does not even manage to
say so is killed, and the tests of its file that were not run yet are run in another one.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from peer_examples.processes import Process
from peer_examples.runner import Launcher

PLUGIN = Path(__file__).with_name("suite_plugin.py")

TEST_SECONDS = 30.0
SILENCE_SECONDS = 60.0
"""How long a process may report nothing before it is killed; more than a test may take."""

PROCESSES_PER_FILE = 5
"""How often the rest of a file is tried after its process was killed or broke down."""

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

BROKEN = "hung, or ended its process"


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """What came of one test. Argument: ``reason``, why it failed or was skipped."""

    __test__ = False

    name: str
    outcome: str
    reason: str = ""


class SuiteRunner:
    """Runs the files of a peer's tests one after the other. Arguments: ``launcher``; ``generation``, 4 or 5."""

    def __init__(self, launcher: Launcher, generation: int) -> None:
        self._launcher = launcher
        self._generation = generation
        self.silence_seconds = SILENCE_SECONDS
        self.test_seconds = TEST_SECONDS

    def run(self, folder: Path, only: Sequence[str] = ()) -> Iterator[TestOutcome]:
        """Yield the outcome of every test below a folder, which is copied and never written to.

        ``only``: names of files without their suffix; none for all.
        """
        with tempfile.TemporaryDirectory(prefix="peer-suite-") as scratch:
            copied = Path(scratch) / "suite" / folder.name
            shutil.copytree(folder, copied)
            for parent in folder.parents[:2]:
                if (parent / "certs").is_dir():  # they look for them in the folder above
                    shutil.copytree(parent / "certs", copied.parent / "certs")
            (copied / "__init__.py").unlink(missing_ok=True)  # its tests import each other by their bare names
            shutil.copy(PLUGIN, copied)
            for path in sorted(copied.glob("test_*.py")):
                if not only or path.stem in only:
                    yield from self._file(path)

    def _file(self, path: Path) -> list[TestOutcome]:
        found: dict[str, TestOutcome] = {}
        for _ in range(PROCESSES_PER_FILE):
            ended, output = self._process(path, found)
            if ended:
                break
        else:
            found[path.name] = TestOutcome(path.name, FAILED, f"its process broke down: {output[-1:]}")
        return list(found.values())

    def _process(self, path: Path, found: dict[str, TestOutcome]) -> tuple[bool, list[str]]:
        """Run the tests of a file that are not in `found`, and put them there.

        Returns whether it came to its end, and the lines that it printed.
        """
        report = path.with_suffix(".report")
        report.write_text("", encoding="utf-8")
        options = ["-q", "-p", "no:cacheprovider", "-p", PLUGIN.stem, "--rootdir", ".", "-c", "/dev/null", path.name]
        options += [f"--deselect={name}" for name in found]
        environment = {
            **self._launcher.environment,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "SUITE_REPORT": str(report),
            "SUITE_SECONDS": str(self.test_seconds),
        }
        command = self._launcher.command(self._generation, "-m pytest", options)
        process = Process(command, path.parent, environment)
        try:
            self._until_ended_or_silent(process, report)
        finally:
            process.kill()
        outcomes, ended = read_report(report)
        found.update((outcome.name, outcome) for outcome in outcomes)
        return ended, process.output.splitlines()

    def _until_ended_or_silent(self, process: Process, report: Path) -> None:
        """Wait until a process says that it is done, ends, or has reported nothing for too long."""
        size, since = 0, time.monotonic()
        while time.monotonic() - since < self.silence_seconds:
            if process.wait_until_ended(time.monotonic() + 0.2) is not None or read_report(report)[1]:
                return
            now = report.stat().st_size
            if now != size:
                size, since = now, time.monotonic()


def read_report(report: Path) -> tuple[list[TestOutcome], bool]:
    """Return what a report says of each test, and whether all of them were run.

    One that has begun and not ended has hung, or ended its process.
    """
    found: dict[str, TestOutcome] = {}
    ended = False
    for line in report.read_text(encoding="utf-8").splitlines():
        said = json.loads(line)
        name, outcome, reason = said["test"], said["outcome"], said.get("reason", "")
        if outcome == "ended":
            ended = True
        elif outcome == "started":
            found[name] = TestOutcome(name, FAILED, BROKEN)
        elif outcome != PASSED or found[name].reason == BROKEN:
            found[name] = TestOutcome(name, outcome, reason)
    return list(found.values()), ended


def kind_of(reason: str) -> str:
    """Return a reason without what differs from test to test: numbers, addresses, quoted values, the place."""
    text = re.sub(r" \(\S+:\d+\)$", "", reason)
    text = re.sub(r"0x[0-9a-f]+|\d+", "#", text)
    return text[:120]


def by_reason(outcomes: Sequence[TestOutcome]) -> str:
    """Return a text with how many passed, and how many did not for which reason, the most frequent first."""
    counted = Counter(outcome.outcome for outcome in outcomes)
    lines = [f"{counted[PASSED]} of {len(outcomes)} passed, {counted[FAILED]} failed, {counted[SKIPPED]} skipped"]
    for word in (FAILED, SKIPPED):
        kinds = Counter(kind_of(outcome.reason) for outcome in outcomes if outcome.outcome == word)
        lines += [f"  {word} {number:>4}  {kind}" for kind, number in kinds.most_common()]
    return "\n".join(lines)
