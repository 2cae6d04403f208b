r"""Reads a regular expression and writes the program of a nondeterministic automaton for it.

The accepted language is the part of `re` that needs no memory: literals, ``.``, ``[]``, ``*``, ``+``, ``?``, ``{m,n}``,
``|``, groups, ``^``, ``$``, ``\A``, ``\Z``, the classes ``\d \D \w \W \s \S`` and escaped characters, with the meaning
that `re` gives them. Everything else is refused. Knows nothing of names, nor how programs run.
"""

from __future__ import annotations

import string
from bisect import bisect_right
from collections.abc import Callable
from typing import Any, NamedTuple

from fastpyro.errors import NamingError

__all__ = ["SUPPORTED", "Instruction", "compile_program"]

SUPPORTED = r"supported are literals, . [] * + ? {m,n} | () (?:) ^ $ \d \w \s and escaped characters"

MOST_CHARACTERS = 500
MOST_INSTRUCTIONS = 2000
"""Of the program, in which {m,n} is written out: ``a{1000}`` has a thousand."""
DEEPEST_NESTING = 50

CHARACTER, SPLIT, AT_START, AT_END, AT_LAST_LINE_END, MATCH = range(6)


class Instruction(NamedTuple):
    """One step of a program: ``kind``, where to go on, and for CHARACTER which characters are accepted."""

    kind: int
    targets: tuple[int, ...] = ()
    accepts: Callable[[str], bool] | None = None


class _Node(NamedTuple):
    """Part of an expression: ``size`` is the number of instructions that it needs."""

    kind: str
    size: int
    parts: tuple[_Node, ...] = ()
    accepts: Callable[[str], bool] | None = None
    least: int = 0
    most: int | None = None


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _inverse(accepts: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda character: not accepts(character)


_CLASSES: dict[str, Callable[[str], bool]] = {
    "d": str.isdecimal,
    "D": _inverse(str.isdecimal),
    "w": _is_word,
    "W": _inverse(_is_word),
    "s": str.isspace,
    "S": _inverse(str.isspace),
}
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_HEX_LENGTHS = {"x": 2, "u": 4, "U": 8}
_ANCHORS = {"A": AT_START, "Z": AT_END}
_ANCHOR_KINDS = {"^": AT_START, "$": AT_LAST_LINE_END}


def compile_program(text: str) -> list[Instruction]:
    """Return the program of a regular expression; it starts at its last instruction and ends at instruction 0.

    Raises NamingError("invalid regex: …") for an expression that is malformed, unsupported or too large.
    """
    if len(text) > MOST_CHARACTERS:
        raise NamingError(f"invalid regex: {len(text):,} characters exceed the limit of {MOST_CHARACTERS}")
    tree = _Parser(text).parse()
    program = [Instruction(MATCH)]
    entry = _write(program, tree, 0)
    program.append(Instruction(SPLIT, (entry,)))
    return program


def _write(program: list[Instruction], node: _Node, after: int) -> int:
    """Append the instructions of a node that go on at ``after``; return where they begin."""
    if node.kind == "sequence":
        for part in reversed(node.parts):
            after = _write(program, part, after)
        return after
    if node.kind == "choice":
        targets = tuple(_write(program, part, after) for part in node.parts)
        program.append(Instruction(SPLIT, targets))
    elif node.kind == "repeat":
        return _write_repeat(program, node, after)
    elif node.kind == "character":
        program.append(Instruction(CHARACTER, (after,), node.accepts))
    else:
        program.append(Instruction(node.least, (after,)))
    return len(program) - 1


def _write_repeat(program: list[Instruction], node: _Node, after: int) -> int:
    (part,) = node.parts
    entry = after
    if node.most is None:
        entry = len(program)
        program.append(Instruction(SPLIT))
        program[entry] = Instruction(SPLIT, (_write(program, part, entry), after))
    else:
        for _ in range(node.most - node.least):
            program.append(Instruction(SPLIT, (_write(program, part, entry), after)))
            entry = len(program) - 1
    for _ in range(node.least):
        entry = _write(program, part, entry)
    return entry


class _Parser:
    """Recursive descent over the text, as deep as groups are nested."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def fail(self, why: str) -> NamingError:
        return NamingError(f"invalid regex: {why} at position {self.at} of {self.text!r}; {SUPPORTED}")

    def peek(self, length: int = 1) -> str:
        return self.text[self.at : self.at + length]

    def take(self) -> str:
        character = self.peek()
        self.at += 1
        return character

    def skip(self, expected: str) -> bool:
        if self.text.startswith(expected, self.at):
            self.at += len(expected)
            return True
        return False

    def parse(self) -> _Node:
        tree = self.choice()
        if self.at < len(self.text):
            raise self.fail("a ) without its (")
        return tree

    def sized(self, node: _Node) -> _Node:
        if node.size > MOST_INSTRUCTIONS:
            raise NamingError(
                f"invalid regex: with its repetitions written out it needs more than {MOST_INSTRUCTIONS:,} steps"
            )
        return node

    def choice(self) -> _Node:
        parts = [self.sequence()]
        while self.skip("|"):
            parts.append(self.sequence())
        if len(parts) == 1:
            return parts[0]
        return self.sized(_Node("choice", 1 + sum(part.size for part in parts), tuple(parts)))

    def sequence(self) -> _Node:
        parts: list[_Node] = []
        while self.at < len(self.text) and self.peek() not in "|)":
            parts.append(self.repeated(self.atom()))
        return self.sized(_Node("sequence", sum(part.size for part in parts), tuple(parts)))

    # ---- repetition ---------------------------------------------------------------------------------------------------

    def repeated(self, node: _Node) -> _Node:
        bounds = self.bounds()
        if bounds is None:
            return node
        if node.kind == "anchor":
            raise self.fail("nothing to repeat")
        least, most = bounds
        if self.peek() == "+":
            raise self.fail("possessive repetition is not supported")
        self.skip("?")  # fewest first or most first makes no difference to whether there is a match
        if self.bounds() is not None:
            raise self.fail("multiple repeat")
        copies = least + 1 if most is None else most
        return self.sized(_Node("repeat", copies * (node.size + 1), (node,), None, least, most))

    def bounds(self) -> tuple[int, int | None] | None:
        """Take a quantifier and return the fewest and the most times; None when there is none."""
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.skip(sign):
                return bounds
        return self.braces() if self.peek() == "{" else None

    def braces(self) -> tuple[int, int | None] | None:
        # As in `re`, braces that hold anything else are literal.
        end = self.text.find("}", self.at)
        inside = self.text[self.at + 1 : end] if end >= 0 else ""
        low, comma, high = inside.partition(",")
        if not inside or any(digits and not (digits.isascii() and digits.isdigit()) for digits in (low, high)):
            return None
        if len(low) > 5 or len(high) > 5:
            raise self.fail("too many repetitions")
        self.at = end + 1
        least = int(low or 0)
        most = (int(high) if high else None) if comma else least
        if most is not None and most < least:
            raise self.fail("min repeat greater than max repeat")
        return least, most

    # ---- what is repeated -----------------------------------------------------------------------------------------------

    def atom(self) -> _Node:
        if self.bounds() is not None:
            raise self.fail("nothing to repeat")
        character = self.take()
        if character in _ANCHOR_KINDS:
            return _anchor(_ANCHOR_KINDS[character])
        if character == "(":
            return self.group()
        if character == "[":
            return _character(self.character_set())
        if character == ".":
            return _character(_not_newline)
        if character == "\\":
            if self.peek() in _ANCHORS:
                return _anchor(_ANCHORS[self.take()])
            return _character(_accepts(self.escape()))
        return _character(character.__eq__)

    def group(self) -> _Node:
        if not self.skip("?:") and self.peek() == "?":
            raise self.fail(f"the group ({self.peek(3)}… is not supported")
        self.depth += 1
        if self.depth > DEEPEST_NESTING:
            raise self.fail(f"groups nested deeper than {DEEPEST_NESTING}")
        inner = self.choice()
        if not self.skip(")"):
            raise self.fail("a ( without its )")
        self.depth -= 1
        return _Node("sequence", inner.size, (inner,))

    def escape(self) -> str | Callable[[str], bool]:
        """Take what follows a backslash: one character, or a class of them."""
        character = self.take()
        if character in _CLASSES and character:
            return _CLASSES[character]
        if character in _CONTROLS and character:
            return _CONTROLS[character]
        if character in _HEX_LENGTHS and character:
            return self.hexadecimal(_HEX_LENGTHS[character])
        if not character:
            raise self.fail("a backslash at the end")
        if character in string.digits:
            raise self.fail("back-references and octal escapes are not supported")
        if character in string.ascii_letters:
            raise self.fail(f"the escape \\{character} is not supported")
        return character

    def hexadecimal(self, length: int) -> str:
        digits = self.peek(length)
        if len(digits) != length or any(digit not in string.hexdigits for digit in digits):
            raise self.fail(f"expected {length} hexadecimal digits")
        self.at += length
        if int(digits, 16) > 0x10FFFF:
            raise self.fail("there is no such character")
        return chr(int(digits, 16))

    def character_set(self) -> Callable[[str], bool]:
        negated = self.skip("^")
        singles: set[str] = set()
        ranges: list[tuple[str, str]] = []
        classes: set[Callable[[str], bool]] = set()
        first = True
        while first or self.peek() != "]":
            first = False
            low = self.set_member()
            if self.peek() == "-" and self.peek(2) not in ("-", "-]"):
                self.at += 1
                high = self.set_member()
                if not isinstance(low, str) or not isinstance(high, str) or high < low:
                    raise self.fail("bad character range")
                ranges.append((low, high))
            elif isinstance(low, str):
                singles.add(low)
            else:
                classes.add(low)
        self.at += 1
        return _set_test(singles, ranges, classes, negated)

    def set_member(self) -> str | Callable[[str], bool]:
        character = self.take()
        if not character:
            raise self.fail("a [ without its ]")
        if character != "\\":
            return character
        if self.skip("b"):
            return "\b"
        return self.escape()


def _character(accepts: Callable[[str], Any]) -> _Node:
    return _Node("character", 1, (), accepts)


def _anchor(kind: int) -> _Node:
    return _Node("anchor", 1, (), None, kind)


def _accepts(member: str | Callable[[str], bool]) -> Callable[[str], Any]:
    return member.__eq__ if isinstance(member, str) else member


def _not_newline(character: str) -> bool:
    return character != "\n"


def _set_test(
    singles: set[str], ranges: list[tuple[str, str]], classes: set[Callable[[str], bool]], negated: bool
) -> Callable[[str], bool]:
    # Ranges are merged and found by bisection: a set with hundreds of them costs no more than any other.
    merged: list[tuple[str, str]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    lows = [low for low, _ in merged]

    def accepts(character: str) -> bool:
        place = bisect_right(lows, character) - 1
        found = (
            character in singles
            or (place >= 0 and character <= merged[place][1])
            or any(one(character) for one in classes)
        )
        return found is not negated

    return accepts
