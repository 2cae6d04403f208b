"""Matches names against a pattern that a client has chosen, in time that is linear in the length of the name.

Python's `re` backtracks, so that a pattern of 20 characters can keep it busy for years. Here all ways through the pattern
are followed at once (Thompson's construction); sets of ways that were seen before are remembered, up to a limit. Knows
nothing of registrations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeAlias

from fastpyro.errors import NamingError
from fastpyro.naming.pattern_syntax import (
    AT_END,
    AT_LAST_LINE_END,
    AT_START,
    CHARACTER,
    MATCH,
    SPLIT,
    compile_program,
)

__all__ = ["Pattern"]

MOST_REMEMBERED = 100_000
"""Entries of states that are remembered, and transitions between them, some 100 bytes each; beyond it all are forgotten, and
found again where they are needed."""

MOST_WORK = 1_000_000
"""Instructions that one pattern may cost over all names; ordinary ones cost a few thousand. About a second."""

WORK_BETWEEN_PAUSES = 2000
"""Instructions, or names, after which other threads have a turn: matching holds Python's lock."""

# Where in the text a position is, as far as anchors care.
_INSIDE, _BEFORE_LAST_NEWLINE, _AT_END = range(3)

Consuming: TypeAlias = list[tuple[Callable[[str], bool], int]]
"""What may come next: which characters are accepted, and where to go on then."""


class _State:
    """A set of places in the program: what they accept next, and whether the pattern has matched by now."""

    __slots__ = ("consuming", "kernel", "matched", "matched_at_end", "next")

    def __init__(self, kernel: frozenset[int], consuming: Consuming, matched: bool) -> None:
        self.kernel = kernel
        self.consuming = consuming
        self.matched = matched
        self.matched_at_end: bool | None = None
        self.next: dict[str, _State] = {}


class Pattern:
    """A compiled regular expression.

    Arguments: ``text``, in the subset of `re` that `pattern_syntax` describes; ``most_work``, how many instructions all
    calls of ``matches`` together may cost. Raises NamingError for an invalid expression. Not for use by several threads.
    """

    def __init__(self, text: str, most_work: int = MOST_WORK) -> None:
        self.text = text
        self._program = compile_program(text)
        self._anchored_at_end = any(one.kind in (AT_END, AT_LAST_LINE_END) for one in self._program)
        self._states: dict[frozenset[int], _State] = {}
        self._remembered = 0
        self._work_left = most_work
        self._pause_in = WORK_BETWEEN_PAUSES
        self._start = self._make_state(frozenset({len(self._program) - 1}), at_start=True)

    def matches(self, text: str) -> bool:
        """Return whether the pattern matches at the beginning of the text, as ``re.match`` would say.

        Raises NamingError when the pattern has cost too much work.
        """
        self._give_way(1 + len(text) // 8)
        state = self._start
        last = len(text) - 1
        for index, character in enumerate(text):
            if state.matched:
                return True
            if index == last and character == "\n" and self._anchored_at_end:
                return self._matches_last_newline(state, index == 0)
            following = state.next.get(character)
            state = self._advance(state, character) if following is None else following
            if not state.kernel:
                return False
        if state.matched:
            return True
        if state.matched_at_end is None:
            state.matched_at_end = self._closure(state.kernel, last < 0, _AT_END)[1]
        return state.matched_at_end

    def _matches_last_newline(self, state: _State, at_start: bool) -> bool:
        consuming, matched = self._closure(state.kernel, at_start, _BEFORE_LAST_NEWLINE)
        if matched:
            return True
        kernel = frozenset(target for accepts, target in consuming if accepts("\n"))
        return self._closure(kernel, False, _AT_END)[1]

    def _advance(self, state: _State, character: str) -> _State:
        self._spend(len(state.consuming))
        kernel = frozenset(target for accepts, target in state.consuming if accepts(character))
        if self._remembered >= MOST_REMEMBERED:
            self._forget()
        following = self._states.get(kernel)
        if following is None:
            following = self._states[kernel] = self._make_state(kernel)
            self._remembered += len(kernel) + len(following.consuming)
        self._remembered += 1
        state.next[character] = following
        return following

    def _forget(self) -> None:
        for state in self._states.values():
            state.next.clear()  # states refer to each other: only so are they gone at once
        self._states.clear()
        self._start.next.clear()
        self._remembered = 0

    def _make_state(self, kernel: frozenset[int], at_start: bool = False) -> _State:
        return _State(kernel, *self._closure(kernel, at_start, _INSIDE))

    def _closure(self, kernel: Iterable[int], at_start: bool, place: int) -> tuple[Consuming, bool]:
        """Follow everything that consumes no character. Returns what consumes one, and whether the end was reached."""
        program = self._program
        seen = set(kernel)
        waiting = list(seen)
        consuming: Consuming = []
        matched = False
        while waiting:
            kind, targets, accepts = program[waiting.pop()]
            if kind == CHARACTER:
                assert accepts is not None
                consuming.append((accepts, targets[0]))
                continue
            if kind == MATCH:
                matched = True
            elif kind == SPLIT or self._holds(kind, at_start, place):
                for target in targets:
                    if target not in seen:
                        seen.add(target)
                        waiting.append(target)
        self._spend(len(seen))
        return consuming, matched

    def _holds(self, kind: int, at_start: bool, place: int) -> bool:
        if kind == AT_START:
            return at_start
        return place == _AT_END or (kind == AT_LAST_LINE_END and place == _BEFORE_LAST_NEWLINE)

    def _give_way(self, work: int) -> None:
        self._pause_in -= work
        if self._pause_in < 0:
            self._pause_in = WORK_BETWEEN_PAUSES
            time.sleep(0)

    def _spend(self, work: int) -> None:
        self._give_way(work)
        self._work_left -= work
        if self._work_left < 0:
            raise NamingError(
                f"regex {self.text!r} needs too much work for this many names; use a simpler one, or a prefix"
            )
