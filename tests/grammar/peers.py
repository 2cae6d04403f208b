"""The grammars of the peers' formats: msgpack, marshal, serpent and JSON, with the class dicts of Pyro's own classes."""

from __future__ import annotations

import random
import struct
from typing import ClassVar

from grammar.native import CLASSES, ERRORS, NUMBERS, TEXTS, NativeGrammar
from grammar.pieces import Field, Part, Piece

PEER_CLASSES = [
    *(f"{package}.{name}" for package in ("Pyro5", "Pyro4") for name in ("core.URI", "client.Proxy", "core.Proxy")),
    "Pyro5.server.Daemon", "Pyro5.core._ExceptionWrapper", "Pyro4.futures._ExceptionWrapper", "Pyro5.errors.PyroError",
    "collections.OrderedDict", "float", "complex", "set", "ValueError", "exceptions.KeyError", "__main__.X", "a__b",
    *CLASSES, *ERRORS,
]  # fmt: skip


class PeerGrammar:
    """What the formats have in common: each says how its own values are written. ``pieces``, about how many."""

    def __init__(self, rng: random.Random, pieces: int) -> None:
        self.rng = rng
        self.left = pieces

    def text(self, value: str | None = None) -> Piece:
        raise NotImplementedError

    def scalar(self) -> Piece:
        raise NotImplementedError

    def sequence(self, items: list[Piece], kind: str) -> Piece:
        """Return a list, tuple, set or frozenset, or what the format has instead."""
        raise NotImplementedError

    def map(self, pairs: list[Piece]) -> Piece:
        raise NotImplementedError

    def value(self) -> Piece:
        self.left -= 1
        if self.left <= 0 or self.rng.random() < 0.25:
            return self.scalar()
        kind = self.rng.choice(["list", "list", "tuple", "set", "frozenset", "dict", "dict", "class"])
        if kind == "dict":
            return self.dict()
        if kind == "class":
            return self.class_dict()
        make = self.hashable if kind in ("set", "frozenset") else self.value
        return self.sequence([make() for _ in range(self.rng.randrange(5))], kind)

    def hashable(self) -> Piece:
        self.left -= 1
        if self.left > 0 and self.rng.random() < 0.3:
            items = [self.hashable() for _ in range(self.rng.randrange(4))]
            return self.sequence(items, self.rng.choice(["tuple", "frozenset"]))
        return self.value() if self.rng.random() < 0.05 else self.scalar()

    def values(self) -> list[Piece]:
        return [self.value() for _ in range(self.rng.randrange(5))]

    def dict(self) -> Piece:
        pairs: list[Piece] = []
        for _ in range(self.rng.choice([0, 1, 2, 3, 40]) if self.left > 40 else self.rng.randrange(4)):
            again = pairs and self.rng.random() < 0.05
            key = pairs[0] if again else self.text() if self.rng.random() < 0.5 else self.hashable()
            pairs += [key, self.value()]
        return self.map(pairs)

    def named(self, **items: Piece) -> Piece:
        return self.map([part for name, item in items.items() for part in (self.text(name), item)])

    def class_dict(self) -> Piece:
        rng = self.rng
        name = rng.choice(PEER_CLASSES)
        if rng.random() < 0.3:
            args = self.sequence(self.values(), "tuple")
            attributes = (
                self.named(_pyroTraceback=self.sequence([self.text()], "list")) if rng.random() < 0.3 else self.map([])
            )
            return self.named(
                __class__=self.text(rng.choice(ERRORS)), __exception__=self.true(), args=args, attributes=attributes
            )
        if "Proxy" in name:
            uri = self.text(rng.choice(["PYRO:o@127.0.0.1:1", "PYRONAME:x", "x"]))
            sets = [
                self.sequence([self.text() for _ in range(rng.randrange(3))], rng.choice(["set", "list"]))
                for _ in range(3)
            ]
            state = self.sequence([uri, *sets, *self.values()], "tuple")
        elif "URI" in name:
            state = self.sequence(
                [self.text("PYRO"), self.text("o"), self.text("s"), self.text("h"), self.scalar()], "tuple"
            )
        elif "OrderedDict" in name:
            pairs = [self.sequence([self.hashable(), self.value()], "tuple") for _ in range(rng.randrange(4))]
            return self.named(__class__=self.text(name), items=self.sequence(pairs, "list"))
        elif "_ExceptionWrapper" in name:
            return self.named(__class__=self.text(name), exception=self.class_dict())
        elif name in ("float", "complex"):
            return self.named(__class__=self.text(name), value=self.text("nan"), real=self.scalar(), imag=self.scalar())
        elif name == "decimal":
            state = self.text(rng.choice(NUMBERS))
        else:
            return self.named(
                __class__=self.text(name), **{rng.choice(["inner", "state", "data", "encoding"]): self.value()}
            )
        return self.named(__class__=self.text(name), state=state)

    def true(self) -> Piece:
        raise NotImplementedError

    def call(self) -> Piece:
        parts = [
            self.text("object"),
            self.text("method"),
            self.sequence(self.values(), "tuple"),
            self.named(a=self.value()),
        ]
        return self.sequence(parts, "tuple")

    def batch(self) -> Piece:
        calls = [
            self.sequence([self.text(), self.sequence(self.values(), "tuple"), self.named(k=self.value())], "tuple")
            for _ in range(self.rng.randrange(4))
        ]
        return self.sequence(
            [self.text("object"), self.text("<batch>"), self.sequence(calls, "list"), self.map([])], "tuple"
        )

    def wrap(self, inner: Piece) -> Piece:
        match self.rng.randrange(7):
            case 0:
                return self.map([self.text("k"), inner])
            case 1:
                return self.map([inner, self.true()])
            case 2:
                return self.named(__class__=self.text("grammar.Node"), inner=inner)
            case 3:
                args = self.sequence([inner], "tuple")
                return self.named(
                    __class__=self.text("ValueError"), __exception__=self.true(), args=args, attributes=self.map([])
                )
        return self.sequence([inner], self.rng.choice(["list", "tuple", "tuple", "set", "frozenset"]))


class MsgpackGrammar(PeerGrammar):
    """The peers' msgpack: float32, and extensions of their own."""

    def __init__(self, rng: random.Random, pieces: int) -> None:
        super().__init__(rng, pieces)
        self.native = NativeGrammar(rng, 0)

    def text(self, value: str | None = None) -> Piece:
        return self.native.text(value)

    def true(self) -> Piece:
        return Piece("atom", [b"\xc3"])

    def scalar(self) -> Piece:
        rng, native = self.rng, self.native
        match rng.randrange(9):
            case 0:
                return Piece("float", [b"\xca", rng.choice([bytes(4), b"\x7f\x80\0\0", rng.randbytes(4)])])
            case 1:
                digits = rng.choice([b"1" * 30, b"-5", b"", b"x", b"1_0", b" 7 ", b"9" * 4300, b"9" * 4301, b"\xb2"])
                return native.small_extension(0x31, digits)
            case 2:
                return native.small_extension(0x30, rng.randbytes(rng.choice([16, 8])))
            case 3:
                number = rng.choice([0.0, 1e9, -1e18, float("nan"), float("inf"), 1e300])
                return native.small_extension(0x32, struct.pack("d", number))
            case 4:
                ordinal = rng.choice([1, 730_000, 0, -1, 2**31 - 1, 2**62])
                return native.small_extension(0x33, struct.pack("q", ordinal)[: rng.choice([8, 4, 4])])
            case 5:
                return native.plain()
            case 6:
                return native.integer()
            case 7:
                return native.real()
        return self.text()

    def sequence(self, items: list[Piece], kind: str) -> Piece:
        return self.native.array(items)

    def map(self, pairs: list[Piece]) -> Piece:
        return self.native.map(pairs)


class MarshalGrammar(PeerGrammar):
    """Versions 0 to 4, with values that may be referred to and references to them."""

    CODES: ClassVar = {"list": b"[", "tuple": b"(", "set": b"<", "frozenset": b">"}

    def __init__(self, rng: random.Random, pieces: int) -> None:
        super().__init__(rng, pieces)
        self.referable = 0

    def code(self, code: bytes) -> bytes:
        if self.rng.random() < 0.15:
            self.referable += 1
            return bytes([code[0] | 0x80])
        return code

    def sized(self, code: bytes, form: str, data: bytes) -> Piece:
        body = Piece("content", [data])
        return Piece("sized", [self.code(code), Field(form, None, body), body])

    def text(self, value: str | None = None) -> Piece:
        value = self.rng.choice(TEXTS) if value is None else value
        data = value.encode("utf-8", "surrogatepass")
        codes = [b"u", b"t"] + ([b"a", b"A", b"z", b"Z"] if value.isascii() and len(data) < 256 else [])
        code = self.rng.choice(codes)
        return self.sized(code, "B" if code in b"zZ" else "<I", data)

    def true(self) -> Piece:
        return Piece("atom", [b"T"])

    def scalar(self) -> Piece:
        rng = self.rng
        match rng.randrange(9):
            case 0:
                return Piece("atom", [rng.choice([b"N", b"T", b"F", b".", b"S", b"c", b"0", b"?", b"\xe3", b"\xb0"])])
            case 1:
                return Piece("int", [self.code(b"i"), rng.randbytes(4)])
            case 2:
                return Piece("int", [self.code(b"I"), rng.randbytes(8)])
            case 3:
                digits = [
                    rng.choice([1, 0x7FFF, 0, 0x8000]) if rng.random() < 0.2 else 7
                    for _ in range(rng.choice([0, 1, 3, 953, 954]))
                ]
                count = len(digits) * rng.choice([1, -1])
                return Piece(
                    "long", [self.code(b"l"), Field("<I", count & 0xFFFFFFFF), struct.pack(f"<{len(digits)}H", *digits)]
                )
            case 4:
                return Piece(
                    "float", [self.code(b"g"), struct.pack("<d", rng.choice([0.0, -0.0, float("nan"), 1e308]))]
                )
            case 5:
                return Piece("complex", [self.code(b"y"), rng.randbytes(16)])
            case 6:
                number = rng.choice([b"1.5", b"nan", b"x", b"", b"1_0", b" 1 ", b"1e400", b"\xff"])
                return rng.choice(
                    [
                        self.sized(b"f", "B", number),
                        Piece(
                            "complex",
                            [b"x", *self.sized(b"f", "B", number).parts[1:], *self.sized(b"f", "B", b"2").parts[1:]],
                        ),
                    ]
                )
            case 7:
                return Piece("reference", [b"r", Field("<I", rng.randrange(self.referable + 2))])
        return rng.choice([self.text, lambda: self.sized(b"s", "<I", rng.randbytes(rng.randrange(9)))])()

    def sequence(self, items: list[Piece], kind: str) -> Piece:
        if kind == "tuple" and len(items) < 256 and self.rng.random() < 0.5:
            return Piece(kind, [self.code(b")"), Field("B", len(items)), *items])
        return Piece(kind, [self.code(self.CODES[kind]), Field("<I", len(items)), *items])

    def map(self, pairs: list[Piece]) -> Piece:
        return Piece("dict", [self.code(b"{"), *pairs, b"0"])


def joined(opening: bytes, items: list[Piece], closing: bytes, between: bytes = b",", last: bytes = b"") -> Piece:
    """Return a container of text."""
    parts: list[Part] = [opening]
    for at, item in enumerate(items):
        parts += [item, between if at + 1 < len(items) else last]
    return Piece("container", [*parts, closing])


class SerpentGrammar(PeerGrammar):
    """Python's literals as serpent writes them, and as nobody does."""

    BRACKETS: ClassVar = {"list": (b"[", b"]"), "tuple": (b"(", b")"), "set": (b"{", b"}"), "frozenset": (b"{", b"}")}
    NUMBERS: ClassVar = [
        b"1",
        b"-5",
        b"+7",
        b"0",
        b"00",
        b"01",
        b"1.5",
        b".5",
        b"5.",
        b"1e5",
        b"1e",
        b"1e999",
        b"-1e-999",
        b"0x1F",
        b"0o17",
    ]
    NUMBERS += [
        b"0b1",
        b"0x",
        b"1_0",
        b"3j",
        b"1+2j",
        b"1-2J",
        b"1+2",
        b"- 5",
        b"--5",
        b"9" * 4300,
        b"9" * 4301,
        b"1." + b"3" * 5000,
    ]
    TEXTS: ClassVar = [
        b"''",
        b'"x"',
        b"'\\x41'",
        b"'\\u20ac'",
        b"'\\ud800'",
        b"'\\U0010ffff'",
        b"'\\U00110000'",
        b"'\\N{DASH}'",
        b"'\\777'",
    ]
    TEXTS += [
        b"'\xe2\x82\xac'",
        b"'\xff'",
        b"'\xed\xa0\x80'",
        b"'''x'''",
        b"'\n'",
        b"'\\\n'",
        b"b'\\xff'",
        b"b'\xff'",
        b"u'x'",
        b'B"\\0"',
        b"'\0'",
    ]
    TEXTS += [b"'\\", b"'\\x4", b"rb'x'", b"f'x'", b"'a' 'b'"]
    BLANKS: ClassVar = [b"", b"", b"", b"", b" ", b"\n", b"\t", b"#x\n", b"\x0c", b"#"]

    def text(self, value: str | None = None) -> Piece:
        if value is None and self.rng.random() < 0.5:
            return Piece("text", [self.rng.choice(self.TEXTS)])
        quoted = repr(self.rng.choice(TEXTS) if value is None else value)
        return Piece("text", [quoted.encode("utf-8", "surrogatepass")])

    def true(self) -> Piece:
        return Piece("atom", [b"True"])

    def scalar(self) -> Piece:
        atoms = [b"None", b"True", b"False", b"set()", b"()", b"[]", b"{}", b"nan", b"Nonex", b"Ellipsis", b"()()"]
        kind = self.rng.randrange(3)
        if kind == 0:
            return self.text()
        return Piece("scalar", [self.rng.choice(atoms if kind == 1 else self.NUMBERS)])

    def blank(self) -> bytes:
        return self.rng.choice(self.BLANKS)

    def sequence(self, items: list[Piece], kind: str) -> Piece:
        opening, closing = self.BRACKETS[kind]
        last = b"," if (kind == "tuple" and len(items) == 1) or self.rng.random() < 0.1 else b""
        return joined(opening + self.blank(), items, self.blank() + closing, b"," + self.blank(), last)

    def map(self, pairs: list[Piece]) -> Piece:
        items = [Piece("item", [pairs[at], b":" + self.blank(), pairs[at + 1]]) for at in range(0, len(pairs), 2)]
        return joined(
            b"{", items, b"}", b"," + self.blank(), self.rng.choice([b"", b"", b",", b",,"]) if items else b""
        )


class JsonGrammar(PeerGrammar):
    """JSON, with what the reader of the standard library lets pass, and what it does not."""

    SCALARS: ClassVar = [
        b"null",
        b"true",
        b"false",
        b"NaN",
        b"-Infinity",
        b"nul",
        b"1",
        b"-0",
        b"01",
        b"1.5e3",
        b"1.",
        b"-",
        b"1e999",
    ]
    SCALARS += [b"9" * 4300, b"9" * 4301, b"1." + b"3" * 4990, b"1." + b"3" * 5000, b"\xef\xbb\xbf1"]
    SCALARS += [
        b'""',
        b'"\\u20ac"',
        b'"\\ud800"',
        b'"\\ud83d\\ude00"',
        b'"\\x"',
        b'"\n"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\\',
        b'"a',
    ]

    def text(self, value: str | None = None) -> Piece:
        value = self.rng.choice(["", "k", "é", "__class__", "state"]) if value is None else value
        return Piece("text", [b'"' + value.encode() + b'"'])

    def true(self) -> Piece:
        return Piece("atom", [b"true"])

    def scalar(self) -> Piece:
        return Piece("scalar", [self.rng.choice(self.SCALARS)]) if self.rng.random() < 0.7 else self.text()

    def hashable(self) -> Piece:
        return self.text() if self.rng.random() < 0.9 else self.value()

    def sequence(self, items: list[Piece], kind: str) -> Piece:
        return joined(b"[", items, b"]", self.rng.choice([b",", b", "]), b"," if self.rng.random() < 0.03 else b"")

    def map(self, pairs: list[Piece]) -> Piece:
        items = [Piece("item", [pairs[at], b":", pairs[at + 1]]) for at in range(0, len(pairs), 2)]
        return joined(b"{", items, b"}", b",")

    def call(self) -> Piece:
        return self.named(
            object=self.text("o"),
            method=self.text("m"),
            params=self.sequence(self.values(), "list"),
            kwargs=self.named(a=self.value()),
        )


PEERS: dict[str, type[PeerGrammar]] = {
    "msgpack": MsgpackGrammar,
    "marshal": MarshalGrammar,
    "serpent": SerpentGrammar,
    "json": JsonGrammar,
}
