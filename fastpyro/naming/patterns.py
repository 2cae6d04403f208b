"""Regular expressions that a stranger may choose: matched in time linear in the text, whatever the pattern.

Python's `re` backtracks, so a pattern of 20 characters can keep it busy for years. This matcher follows all ways at once
(Thompson's construction). It knows the common subset: literals, ``.``, ``[…]``, ``( )``, ``(?: )``, ``|``, ``* + ? {m,n}``,
``^``, ``$``, and the escapes ``\\d \\D \\w \\W \\s \\S`` and ``\\`` before punctuation. Like ``re.match`` it is anchored
at the start of the text only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fastpyro.errors import NamingError

__all__ = ["Pattern"]

LONGEST_PATTERN = 200
MOST_STATES = 500
MOST_NESTING = 20
MOST_STEPS = 5_000_000
"""Steps that one Pattern may take for all texts together; about a second."""

Test = Callable[[str], bool]

_CLASSES: dict[str, Test] = {
    "d": str.isdecimal,
    "w": lambda character: character.isalnum() or character == "_",
    "s": str.isspace,
}


class Node(NamedTuple):
    """A piece of a parsed pattern: its kind, and what belongs to it."""

    kind: str  # "test", "sequence", "choice", "repeat", "start" or "end"
    test: Test | None = None
    parts: tuple[Node, ...] = ()
    least: int = 0
    most: int | None = None


class Pattern:
    """A compiled pattern. Arguments: ``text``. Raises NamingError for a malformed, unsupported or too large one."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a pattern is a str, not {type(text).__name__}")
        if len(text) > LONGEST_PATTERN:
            raise NamingError(f"invalid regex: {len(text):,} characters exceed the limit of {LONGEST_PATTERN}")
        self._tests: list[Test | None] = []
        self._kinds: list[str] = []
        self._targets: list[tuple[int, ...]] = []
        self._steps = 0
        node = _Parser(text).parse()
        accept = self._state("accept", None, ())
        self._first = self._build(node, accept)

    def match(self, text: str) -> bool:
        """Return whether the pattern matches at the start of the text. Raises NamingError when it takes too long."""
        current = self._closure({self._first}, 0, text)
        for position, character in enumerate(text):
            if self._accepted(current):
                return True
            reached = set()
            for state in current:
                self._steps += 1
                test = self._tests[state]
                if test is not None and test(character):
                    reached.update(self._targets[state])
            current = self._closure(reached, position + 1, text)
            if not current:
                return False
        return self._accepted(current)

    def _accepted(self, states: set[int]) -> bool:
        return any(self._kinds[state] == "accept" for state in states)

    def _closure(self, states: set[int], position: int, text: str) -> set[int]:
        seen: set[int] = set()
        waiting = list(states)
        while waiting:
            self._steps += 1
            if self._steps > MOST_STEPS:
                raise NamingError("the regex takes too long; use a simpler one, or a prefix")
            state = waiting.pop()
            if state in seen:
                continue
            seen.add(state)
            kind = self._kinds[state]
            at_end = position == len(text) or (position == len(text) - 1 and text[-1] == "\n")
            if kind == "any" or (kind == "start" and position == 0) or (kind == "end" and at_end):
                waiting.extend(self._targets[state])
        return seen

    def _state(self, kind: str, test: Test | None, targets: tuple[int, ...]) -> int:
        if len(self._kinds) >= MOST_STATES:
            raise NamingError(f"invalid regex: it needs more than {MOST_STATES} states; use smaller counts")
        self._kinds.append(kind)
        self._tests.append(test)
        self._targets.append(targets)
        return len(self._kinds) - 1

    def _build(self, node: Node, after: int) -> int:
        """Make the states of a node that lead to the state ``after``; return the first one."""
        if node.kind == "sequence":
            for part in reversed(node.parts):
                after = self._build(part, after)
            return after
        if node.kind == "choice":
            return self._state("any", None, tuple(self._build(part, after) for part in node.parts))
        if node.kind == "repeat":
            return self._build_repeat(node, after)
        return self._state(node.kind, node.test, (after,))

    def _build_repeat(self, node: Node, after: int) -> int:
        (part,) = node.parts
        if node.most is None:
            loop = self._state("any", None, ())
            self._targets[loop] = (self._build(part, loop), after)
            after = loop
        else:
            end = after
            for _ in range(node.most - node.least):
                after = self._state("any", None, (self._build(part, after), end))
        for _ in range(node.least):
            after = self._build(part, after)
        return after


class _Parser:
    """Turns a pattern's text into nodes, by recursive descent."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def parse(self) -> Node:
        node = self._choice()
        if self.at < len(self.text):
            raise self._error("unbalanced parenthesis")
        return node

    def _error(self, what: str) -> NamingError:
        return NamingError(
            f"invalid regex: {what} at position {self.at} of {self.text!r}; supported are literals, ., [], (), |, *, +, ?, "
            "{m,n}, ^, $, \\d, \\w, \\s"
        )

    def _peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise self._error("unexpected end")
        self.at += 1
        return character

    def _choice(self) -> Node:
        parts = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Node("choice", parts=tuple(parts))

    def _sequence(self) -> Node:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeat())
        return Node("sequence", parts=tuple(parts))

    def _repeat(self) -> Node:
        node = self._atom()
        repeated = False
        while (counts := self._counts()) is not None:
            if repeated or node.kind in ("start", "end"):
                raise self._error("multiple or misplaced repeat")
            node = Node("repeat", parts=(node,), least=counts[0], most=counts[1])
            repeated = True
        return node

    def _counts(self) -> tuple[int, int | None] | None:
        character = self._peek()
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if character in simple:
            self.at += 1
            return simple[character]
        if character != "{":
            return None
        end = self.text.find("}", self.at)
        least, comma, most = self.text[self.at + 1 : end].partition(",") if end > 0 else ("", "", "")
        if not (least + most).isdecimal() or not (least + most).isascii() or len(least) > 4 or len(most) > 4:
            raise self._error("a brace that is no {m}, {m,}, {,n} or {m,n}")
        self.at = end + 1
        low = int(least or 0)
        high = low if not comma else int(most) if most else None
        if high is not None and high < low:
            raise self._error("a repeat whose least count is above its most")
        return low, high

    def _atom(self) -> Node:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return Node("test", self._set())
        if character == ".":
            return Node("test", lambda other: other != "\n")
        if character in "^$":
            return Node("start" if character == "^" else "end")
        if character == "\\":
            return Node("test", self._escape())
        if character in "*+?{":
            raise self._error("nothing to repeat")
        return Node("test", character.__eq__)

    def _group(self) -> Node:
        if self.text.startswith("?:", self.at):
            self.at += 2
        elif self._peek() == "?":
            raise self._error("an extension of groups that is not supported")
        self.depth += 1
        if self.depth > MOST_NESTING:
            raise self._error(f"groups nested deeper than {MOST_NESTING}")
        node = self._choice()
        self.depth -= 1
        if self._take() != ")":
            raise self._error("missing )")
        return node

    def _escape(self) -> Test:
        character = self._take()
        test = _CLASSES.get(character.lower())
        if test is not None:
            return test if character.islower() else lambda other: not test(other)
        plain = {"n": "\n", "t": "\t", "r": "\r"}.get(character)
        if plain is None and (character.isalnum() or character == "_"):
            raise self._error(f"unsupported escape \\{character}")
        return (plain or character).__eq__

    def _set(self) -> Test:
        negated = self._peek() == "^"
        self.at += negated
        tests: list[Test] = []
        while self._peek() != "]" or not tests:
            first = self._member()
            if not isinstance(first, str):
                tests.append(first)
            elif self._peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                last = self._member()
                if not isinstance(last, str) or last < first:
                    raise self._error("a bad range of characters")
                tests.append(lambda other, low=first, high=last: low <= other <= high)  # type: ignore[misc]
            else:
                tests.append(first.__eq__)
        self.at += 1
        if negated:
            return lambda other: not any(test(other) for test in tests)
        return lambda other: any(test(other) for test in tests)

    def _member(self) -> str | Test:
        character = self._take()
        if character != "\\":
            return character
        if self._peek().lower() in _CLASSES:
            return self._escape()
        escaped = self._peek()
        self._escape()
        return {"n": "\n", "t": "\t", "r": "\r"}.get(escaped, escaped)
