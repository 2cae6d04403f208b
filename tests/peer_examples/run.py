"""Runs the peers' example programs, or their tests, and says which work: on the peer itself, or on fastpyro in its place.

python tests/peer_examples/run.py --with fastpyro
python tests/peer_examples/run.py --with peer --generation 4 --python /some/venv/bin/python --only callback
python tests/peer_examples/run.py --suite --with fastpyro --generation 5 --only test_core
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peer_examples.catalogue import EXAMPLES
from peer_examples.fetch import FetchError, examples_of, suite_of
from peer_examples.programs import Example
from peer_examples.runner import Launcher, Outcome, Runner
from peer_examples.suites import FAILED, SuiteRunner, TestOutcome, by_reason

ROOT = Path(__file__).resolve().parents[2]


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--with", dest="library", choices=("peer", "fastpyro"), default="fastpyro")
    parser.add_argument(
        "--suite", action="store_true", help="run the peers' own tests, which need pytest, not examples"
    )
    parser.add_argument("--generation", type=int, choices=(4, 5), help="only what is of Pyro4, or of Pyro5")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="only this example, or file of tests; repeatable"
    )
    parser.add_argument("--jobs", type=int, default=1, help="how many examples run at a time")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs the examples")
    parser.add_argument("--cache", type=Path, help="folder for the peers' archives")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="write what each program printed into this folder")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table into this file")
    parser.add_argument("--list", action="store_true", help="name the examples and run nothing")
    return parser.parse_args(given)


def chosen(examples: Iterable[Example], only: Sequence[str], generation: int | None) -> list[tuple[Example, int]]:
    """Return which examples run, each with its generation.

    Raises:
        SystemExit: a name in `only` is none of an example.
    """
    cases = [
        (example, number)
        for example in examples
        for number in example.generations
        if generation in (None, number) and (not only or example.name in only)
    ]
    if unknown := set(only) - {example.name for example, _ in cases}:
        raise SystemExit(f"no such example: {', '.join(sorted(unknown))}")
    return sorted(cases, key=lambda case: (case[1], case[0].name))


def environment(library: str) -> dict[str, str]:
    """Return the environment of all programs: this process's, without settings that would reach the examples."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYRO_", "FASTPYRO_"))}
    kept.pop("PYTHONPATH", None)
    if library == "fastpyro":
        kept["PYTHONPATH"] = str(ROOT)
    return kept


def run_all(runner: Runner, cases: Sequence[tuple[Example, int]], jobs: int) -> list[Outcome]:
    """Run all cases, print a line for each as it ends, and return their outcomes in the order of the cases."""
    with ThreadPoolExecutor(jobs) as executor:
        futures = [executor.submit(runner.run, example, generation) for example, generation in cases]
        try:
            for future in as_completed(futures):
                print(line(future.result()), flush=True)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            runner.stop()
            raise
    return [future.result() for future in futures]


def line(outcome: Outcome) -> str:
    result = "passed" if outcome.passed else "FAILED"
    return f"{outcome.name:<32} Pyro{outcome.generation}  {result}  {outcome.seconds:6.1f} s  {outcome.reason}".rstrip()


def summary(outcomes: Sequence[Outcome]) -> str:
    passed = sum(outcome.passed for outcome in outcomes)
    return f"{passed} of {len(outcomes)}"


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a table, in the order of names."""
    rows = ["| example | generation | result | seconds | reason |", "| --- | --- | --- | ---: | --- |"]
    for outcome in outcomes:
        reason = outcome.reason.replace("|", "\\|").replace("`", "'")
        cells = [
            outcome.name,
            f"Pyro{outcome.generation}",
            "passed" if outcome.passed else "**failed**",
            f"{outcome.seconds:.1f}",
            f"`{reason}`" if reason else "",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, "", f"{summary(outcomes)} passed.", ""])


def write_logs(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Write a file for each example, with what each of its programs printed."""
    folder.mkdir(parents=True, exist_ok=True)
    for outcome in outcomes:
        parts = [f"===== {name}\n{output.rstrip()}\n" for name, output in outcome.outputs]
        path = folder / f"{outcome.generation}-{outcome.name}.txt"
        path.write_text("\n".join([line(outcome), *parts]), encoding="utf-8")


def run_suites(options: argparse.Namespace) -> int:
    """Run the suites that the command line asks for, and print each test that failed, and how many for which reason.

    Returns:
        0 if none failed, 1 otherwise.

    Raises:
        FetchError: a suite cannot be had.
    """
    launcher = launcher_of(options)
    failed = False
    for generation in (options.generation,) if options.generation else (4, 5):
        outcomes: list[TestOutcome] = []
        for outcome in SuiteRunner(launcher, generation).run(suite_of(generation, options.cache), options.only):
            outcomes.append(outcome)
            if outcome.outcome == FAILED:
                print(f"Pyro{generation}  {outcome.name}  {outcome.reason}", flush=True)
        print(f"Pyro{generation}: {by_reason(outcomes)}", flush=True)
        failed = failed or any(outcome.outcome == FAILED for outcome in outcomes)
    return int(failed)


def launcher_of(options: argparse.Namespace) -> Launcher:
    return Launcher(options.python, environment(options.library), options.library == "fastpyro")


def main(given: Sequence[str] | None = None) -> int:
    """Run the examples that the command line asks for.

    Returns:
        0 if all passed, 1 if one failed, 2 if the examples cannot be had.
    """
    # Started in the background of a shell this process ignores interrupts, and so would all examples: they inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    options = arguments(given)
    if options.suite:
        try:
            return run_suites(options)
        except FetchError as error:
            print(error, file=sys.stderr)
            return 2
    cases = chosen(EXAMPLES, options.only, options.generation)
    if options.list:
        print("\n".join(f"Pyro{generation}  {example.name}" for example, generation in cases))
        return 0
    try:
        folders = {number: examples_of(number, options.cache) for number in {number for _, number in cases}}
    except FetchError as error:
        print(error, file=sys.stderr)
        return 2
    outcomes = run_all(Runner(launcher_of(options), folders), cases, max(1, options.jobs))
    if options.logs:
        write_logs(options.logs, outcomes)
    if options.markdown:
        options.markdown.write_text(markdown(outcomes), encoding="utf-8")
    print(f"{summary(outcomes)} passed")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
