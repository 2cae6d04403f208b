"""What an example consists of, as data: the programs to start, what they are told, what they must print.

Rule 1: nothing is waited for by time alone. A program is ready, or at its end, when it has printed something.
Rule 2: every expectation is a short regular expression, searched in all that a program printed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

URI = r"(?P<uri>PYRO:[^\s'\"]+)"
"""What a server prints when it is ready, unless it says otherwise."""

SERVING = rf"uri = {URI}[\s\S]*Pyro daemon running"
"""What a server prints that uses the library's own short way to serve."""

DEFAULT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A line for a program's standard input, sent when it has printed something."""

    after: str
    """Searched in what was printed since the last answer: a prompt is often asked twice."""
    text: str
    """May hold `{uri}`, as in `Program.inputs`."""


@dataclass(frozen=True, slots=True)
class Program:
    """One process of an example."""

    script: str
    """Path within the example's folder, or `-m` and a module.

    `{echo}` and `{gateway}` are the peer's echo server and HTTP gateway.
    """
    arguments: tuple[str, ...] = ()
    inputs: tuple[str | Answer, ...] = ()
    """Lines for standard input. `{uri}` is the address that the server printed last before the program started,
    `{uri1}`, `{uri2}` … those of all servers in their order."""
    expect: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()
    """What it must not print."""
    status: int = 0
    """Exit status, for programs that end by themselves or when interrupted."""
    ready: str = ""
    """Not empty: the program goes on in the background once it has printed this."""
    until: str = ""
    """Not empty: the program is endless, and is stopped once it has printed this."""
    interrupt: bool = False
    """Stop it as Control-C does, and look at its exit status; otherwise it is killed."""
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

    @property
    def source(self) -> str:
        return self.folder or self.name


def server(script: str, ready: str = URI, **settings: object) -> Program:
    """Return a program that goes on in the background once it has printed `ready`."""
    return Program(script, ready=ready, **settings)  # type: ignore[arg-type]


def client(script: str, *expect: str, **settings: object) -> Program:
    """Return a program that ends by itself and must have printed all of `expect`."""
    return Program(script, expect=expect, **settings)  # type: ignore[arg-type]


def problems(examples: tuple[Example, ...]) -> list[str]:
    """Return what is wrong with a table of examples, one sentence each; an empty list if nothing is."""
    found: list[str] = []
    seen: set[tuple[str, int]] = set()
    for example in examples:
        for generation in example.generations:
            if generation not in (4, 5):
                found.append(f"{example.name} is for an unknown generation {generation}")
            if (example.name, generation) in seen:
                found.append(f"{example.name} is there twice for generation {generation}")
            seen.add((example.name, generation))
        if not example.programs or example.programs[-1].in_background and not any(
            program.expect for program in example.programs
        ):
            found.append(f"{example.name} proves nothing")
        if not any(program.expect or program.until for program in example.programs):
            found.append(f"{example.name} expects nothing")
        started: set[str] = set()
        for program in example.programs:
            found.extend(f"{example.name} stops {ended}, which was not started" for ended in program.ends if ended not in started)
            started.add(program.script)
            for pattern in program.patterns():
                try:
                    re.compile(pattern)
                except re.error as error:
                    found.append(f"{example.name}: {pattern!r} is no regular expression: {error}")
    return found
