"""Messages as trees of bytes, in which the counts and lengths are known, and what may be wrong with such a tree.

A format's grammar (`native`, `msgpack`, `marshal`, `texts`) makes a tree by hand, without any of fastpyro's writers.
`render` makes bytes of it; `changed` first does to it what a flip of bits would hardly ever do.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Union

Part = Union[bytes, "Field", "Piece"]

FIXED = {"fix map": (0x80, 15), "fix array": (0x90, 15), "fix text": (0xA0, 31)}
"""Counts in the low bits of a code, by name: the code, and the bits."""

EXTREMES = [0, 1, 15, 16, 31, 32, 127, 128, 255, 256, 65535, 65536, 1_000_000]
EXTREMES += [(1 << bits) + more for bits in (30, 31, 32, 63, 64) for more in (-2, -1, 0, 1)]

DEEPER = [1, 2, 3, 40, 98, 99, 100, 101, 199, 200, 201, 250]


@dataclass(slots=True, eq=False)
class Field:
    """A count, or the length of a piece: how it is written, and what it says (None: what is true)."""

    form: str
    """Of `struct`, or one of FIXED."""
    value: int | None = None
    of: Piece | None = None
    """Whose length it is."""

    def written(self, true: int) -> bytes:
        """Return the bytes. A value that does not fit loses its high bits, as in a hostile writer."""
        value = true if self.value is None else self.value
        if self.form in FIXED:
            code, bits = FIXED[self.form]
            return bytes([code | (value & bits)])
        size = struct.calcsize(self.form)
        order: Literal["little", "big"] = "little" if self.form.startswith("<") else "big"
        return (value & ((1 << (8 * size)) - 1)).to_bytes(size, order)


@dataclass(slots=True, eq=False)
class Piece:
    """A value, or something that is part of one: what it is called, and what it is made of."""

    kind: str
    parts: list[Part] = field(default_factory=list)


def render(root: Piece) -> bytes:
    """Return the bytes of a tree."""
    out = bytearray()
    _render(root, out, {})
    return bytes(out)


def _render(piece: Piece, out: bytearray, waiting: dict[int, list[tuple[int, Field]]]) -> None:
    begin = len(out)
    for part in piece.parts:
        if type(part) is bytes:
            out += part
        elif type(part) is Piece:
            _render(part, out, waiting)
        elif isinstance(part, Field):
            if part.of is not None:
                waiting.setdefault(id(part.of), []).append((len(out), part))
            out += part.written(0)
    for at, size in waiting.pop(id(piece), ()):
        written = size.written(len(out) - begin)
        out[at : at + len(written)] = written


def pieces_of(root: Piece) -> Iterator[tuple[Piece, int]]:
    """Give each piece below the root: who holds it, and where."""
    stack = [root]
    while stack:
        holder = stack.pop()
        for at, part in enumerate(holder.parts):
            if type(part) is Piece:
                yield holder, at
                stack.append(part)


def fields_of(root: Piece) -> list[Field]:
    """Return all counts and lengths."""
    holders = [root, *(holder.parts[at] for holder, at in pieces_of(root))]
    return [part for holder in holders if type(holder) is Piece for part in holder.parts if type(part) is Field]


def copied(piece: Piece) -> Piece:
    """Return a copy whose lengths are those of its own pieces."""
    made: dict[int, Piece] = {}
    copy = _copied(piece, made)
    for size in fields_of(copy):
        if size.of is not None:
            size.of = made.get(id(size.of), size.of)
    return copy


def _copied(piece: Piece, made: dict[int, Piece]) -> Piece:
    copy = made[id(piece)] = Piece(piece.kind)
    for part in piece.parts:
        if type(part) is Piece:
            copy.parts.append(_copied(part, made))
        elif isinstance(part, Field):
            copy.parts.append(Field(part.form, part.value, part.of))
        else:
            copy.parts.append(part)
    return copy


Wrap = Callable[[random.Random, Piece], Piece]


def changed(rng: random.Random, root: Piece, other: Piece, wrap: Wrap) -> bytes:
    """Return the bytes of a tree with a few things wrong. Arguments: ``other``, a tree to take pieces from; ``wrap``,
    puts a container of the format around a piece.
    """
    root = Piece("message", [copied(root)])
    deeper = DEEPER
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if _change(rng, root, other, wrap, deeper):
            deeper = [1, 2, 3]  # `render` recurses
    data = render(root)
    match rng.randrange(12):
        case 0:
            return data[: rng.randrange(len(data) + 1)]
        case 1:
            return data + rng.randbytes(rng.randrange(4))
        case 2 if data:
            at = rng.randrange(len(data))
            return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
    return data


def _change(rng: random.Random, root: Piece, other: Piece, wrap: Wrap, deeper: list[int]) -> bool:
    # Returns whether a piece was nested.
    places = list(pieces_of(root))
    if not places:
        return False  # everything was dropped
    holder, at = rng.choice(places)
    chosen = holder.parts[at]
    assert isinstance(chosen, Piece)
    match rng.choice(["size", "size", "size", "double", "drop", "splice", "nest", "swap", "type", "into"]):
        case "size" if sizes := fields_of(root):
            size = rng.choice(sizes)
            true = size.value if size.value is not None else 0
            size.value = rng.choice([true + 1, max(true - 1, 0), true * 2, rng.choice(EXTREMES)])
        case "double":
            holder.parts[at:at] = [copied(chosen) for _ in range(rng.choice([1, 1, 2, 40]))]
        case "drop":
            del holder.parts[at]
        case "splice":
            source, where = rng.choice([*pieces_of(other), (other, 0)])
            part = source.parts[where]
            holder.parts[at] = copied(part) if isinstance(part, Piece) else part
        case "nest":
            for _ in range(rng.choice(deeper)):
                chosen = wrap(rng, chosen)
            holder.parts[at] = chosen
            return True
        case "swap":
            another, where = rng.choice(places)
            if (
                another.parts[where : where + 1]
                and not _holds(chosen, another)
                and not _holds(another.parts[where], holder)
            ):
                holder.parts[at], another.parts[where] = another.parts[where], chosen
        case "type" if chosen.parts:
            source, where = rng.choice([*pieces_of(other), (other, 0)])
            model = source.parts[where]
            if isinstance(model, Piece) and model.parts:
                chosen.parts[0] = model.parts[0]
        case _:  # a piece within itself
            inner = rng.choice([chosen, *(some.parts[where] for some, where in pieces_of(chosen))])
            if isinstance(inner, Piece):
                inner.parts.insert(rng.randrange(len(inner.parts) + 1), copied(chosen))
    return False


def _holds(outer: Part, inner: Piece) -> bool:
    if not isinstance(outer, Piece):
        return False
    return outer is inner or any(some.parts[at] is inner for some, at in pieces_of(outer))
