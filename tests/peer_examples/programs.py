"""What an example consists of, as data: the programs to start, what they are told, what they must print.

Rule 1: nothing is waited for by time alone. A program is ready, or at its end, when it has printed something.
Rule 2: every expectation is a short regular expression, searched in all that a program printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

URI = r"(?P<uri>PYRO:[^\s'\"]+)"
"""What a server prints when it is ready, unless it says otherwise."""

SERVING = rf"uri = {URI}[\s\S]*Pyro daemon running"
"""What a server prints that uses the library's own fast path to serve."""

DEFAULT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A line for a program's standard input, sent when it has printed something."""

    after: str
    """Searched in what was printed since the last answer: a prompt is often asked twice."""
    text: str
    """May hold `{uri}` and the like, as in `Program.inputs`."""


@dataclass(frozen=True, slots=True)
class Program:
    """One process of an example."""

    script: str
    """Path within the example's folder, or `-m` and a module.

    `{echo}`, `{gateway}` and `{console}` are the peer's echo server, HTTP gateway and name server client.
    """
    arguments: tuple[str, ...] = ()
    inputs: tuple[str | Answer, ...] = ()
    """Lines for standard input. `{name}` is what a group of that name in the `ready` of a program before it found."""
    expect: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()
    """What it must not print."""
    status: int | None = 0
    """Exit status, for programs that end by themselves or when interrupted; None if any will do."""
    ready: str = ""
    """Not empty: the program goes on in the background once it has printed this."""
    until: str = ""
    """Not empty: the program is endless, and is stopped once it has printed this."""
    interrupt: bool = False
    """Stop it as Control-C does, and look at its exit status; otherwise it is killed."""
    repeat: bool = False
    """It runs again and again until it prints what it must: it asks whether something else is ready."""
    ends: tuple[str, ...] = ()
    """Scripts that are stopped before this program starts, to see how others bear it."""
    leaves: bool = False
    """It is in the background and must have ended by itself, with `status`, when all others are done."""

    @property
    def in_background(self) -> bool:
        return bool(self.ready)

    def patterns(self) -> tuple[str, ...]:
        """Return all its regular expressions."""
        asked = tuple(one.after for one in self.inputs if isinstance(one, Answer))
        return tuple(filter(None, (*self.expect, *self.refuse, self.ready, self.until, *asked)))


@dataclass(frozen=True, slots=True)
class Example:
    """One way to run one of the peers' examples."""

    name: str
    programs: tuple[Program, ...]
    folder: str = ""
    """Folder of the example; empty when it is called like the example."""
    generations: tuple[int, ...] = (4, 5)
    name_server: bool = False
    port: int = 0
    """A port that its programs insist on, so that no other example with the same may run meanwhile."""
    seconds: float = DEFAULT_SECONDS
    """Time limit for the whole example."""
    environment: tuple[tuple[str, str], ...] = ()
    certificates: bool = False
    """It uses the certificates that lie beside the examples; they are renewed before."""

    @property
    def source(self) -> str:
        return self.folder or self.name


def server(script: str, ready: str = URI, **settings: object) -> Program:
    """Return a program that goes on in the background once it has printed `ready`."""
    return Program(script, ready=ready, **settings)  # type: ignore[arg-type]


def client(script: str, *expect: str, **settings: object) -> Program:
    """Return a program that ends by itself and must have printed all of `expect`."""
    return Program(script, expect=expect, **settings)  # type: ignore[arg-type]


def problems(examples: Iterable[Example]) -> list[str]:
    """Return what is wrong with a table of examples, one sentence each; an empty list if nothing is."""
    found: list[str] = []
    seen: set[tuple[str, int]] = set()
    for example in examples:
        found += [f"{example.name}: {problem}" for problem in _problems_of(example)]
        for generation in example.generations:
            if (example.name, generation) in seen:
                found.append(f"{example.name}: is there twice for generation {generation}")
            seen.add((example.name, generation))
    return found


def _problems_of(example: Example) -> Iterator[str]:
    if not example.generations or not {4, 5}.issuperset(example.generations):
        yield f"is for generations {example.generations}"
    if not any(program.expect or program.until for program in example.programs):
        yield "expects nothing"
    if all(program.in_background and not program.expect for program in example.programs[-1:]):
        yield "is over before its last program has done anything"
    started: set[str] = set()
    for program in example.programs:
        yield from (f"ends {script}, which was not started" for script in program.ends if script not in started)
        started.add(program.script)
        for pattern in program.patterns():
            try:
                re.compile(pattern)
            except re.error as error:
                yield f"{pattern!r} is no regular expression: {error}"
