"""The grammar of the native codec, batches included: every container and extension inside every other one."""

from __future__ import annotations

import random
import struct

from grammar.pieces import Field, Piece

WIDTHS = {"B": 0, "H": 1, "I": 2}

ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "", "../etc/passwd", "no such", "x" * 101, "UTC\0", "a/b/c"]
TEXTS = ["", "k", "é", "\U0001f600", "__class__", "state", "x" * 31, "x" * 32, "value", "args", "a.b", "\u20ac" * 5]
CLASSES = [
    "fastpyro.URI", "fastpyro.Proxy", "NotImplemented", "Ellipsis", "range", "deque", "OrderedDict",
    "defaultdict", "Counter", "UserDict", "UserString", "ipaddress", "slice", "decimal",
    "fraction", "uuid", "path", "array", "exception",
    "numpy.ndarray", "numpy.generic", "numpy.dtype", "grammar.Node", "grammar.Slots", "grammar.Named", "grammar.Kind",
    "grammar.Mapping", "grammar.Fails", "no.such.Class", "builtins.dict",
]  # fmt: skip
ERRORS = [
    "builtins.ValueError", "builtins.OSError", "builtins.UnicodeDecodeError", "builtins.SyntaxError",
    "builtins.ExceptionGroup", "builtins.SystemExit", "builtins.KeyError", "builtins.StopIteration",
    "fastpyro.errors.PyroError", "fastpyro.errors.RemoteError", "grammar.Trouble", "json.decoder.JSONDecodeError",
    "no.such.Error", "",
]  # fmt: skip
NUMBERS = ["0", "1.5", "-1E+10", "NaN", "sNaN", "Infinity", "", "x", "1" * 4300, "1" * 4400, "1e999999999", "\u0661"]
DTYPES = ["<i4", "<f8", "|b1", "<U2", "|S3", "<M8[s]", "<m8[9as]", "|O", ">c16", "<i3", "|V4", "<U999999999", "i4,i4"]


class NativeGrammar:
    """Makes values as trees. Arguments: ``rng``; ``pieces``, about how many at the most."""

    def __init__(self, rng: random.Random, pieces: int) -> None:
        self.rng = rng
        self.left = pieces

    # ---- heads ---------------------------------------------------------------------------------------------------------

    def counted(self, kind: str, fix: str, code16: int, items: list[Piece], count: int) -> Piece:
        """Return a container with the smallest head that fits, or a larger one."""
        form = self.rng.choice(([fix] if count < 16 else []) + ["H", "I"]) if count < 65536 else "I"
        if form == fix:
            return Piece(kind, [Field(fix, count), *items])
        return Piece(kind, [bytes([code16 if form == "H" else code16 + 1]), Field(form, count), *items])

    def array(self, items: list[Piece], kind: str = "array") -> Piece:
        return self.counted(kind, "fix array", 0xDC, items, len(items))

    def map(self, pairs: list[Piece]) -> Piece:
        return self.counted("map", "fix map", 0xDE, pairs, len(pairs) // 2)

    def sized(self, kind: str, code: int, body: Piece, extra: bytes = b"", size: int = 1 << 20) -> Piece:
        form = self.rng.choice([form for form in "BHI" if size < 1 << (8 << WIDTHS[form])])
        return Piece(kind, [bytes([code + WIDTHS[form]]), Field(form, None, body), *([extra] if extra else []), body])

    def text(self, value: str | None = None) -> Piece:
        data = (self.rng.choice(TEXTS) if value is None else value).encode("utf-8", "surrogatepass")
        body = Piece("characters", [data])
        if len(data) < 32 and self.rng.random() < 0.7:
            return Piece("text", [Field("fix text", len(data)), body])
        return self.sized("text", 0xD9, body, size=len(data))

    def extension(self, code: int, body: Piece, size: int = 1 << 20) -> Piece:
        return self.sized(f"extension {code}", 0xC7, body, bytes([code]), size)

    def small_extension(self, code: int, data: bytes) -> Piece:
        """Return an extension of plain bytes, in the form with the size in its code where there is one."""
        if len(data) in (1, 2, 4, 8, 16) and self.rng.random() < 0.3:
            return Piece(f"extension {code}", [bytes([0xD4 + len(data).bit_length() - 1, code]), data])
        return self.extension(code, Piece("body", [data]), len(data))

    def bytes_(self, data: bytes) -> Piece:
        return self.sized("bytes", 0xC4, Piece("content", [data]), size=len(data))

    # ---- values --------------------------------------------------------------------------------------------------------

    def value(self) -> Piece:
        """Return any value: containers while there are pieces left."""
        self.left -= 1
        if self.left <= 0 or self.rng.random() < 0.25:
            return self.scalar()
        return self.rng.choice([self.list, self.dict, self.tuple, self.set, self.object, self.list, self.dict])()

    def values(self, most: int = 5) -> list[Piece]:
        return [self.value() for _ in range(self.rng.randrange(most + 1))]

    def hashable(self) -> Piece:
        """Return a value that can be a key, mostly."""
        self.left -= 1
        roll = self.rng.random()
        if roll < 0.05:
            return self.value()
        if self.left <= 0 or roll < 0.6:
            return self.scalar()
        if roll < 0.75:
            return self.object()
        items = self.array([self.hashable() for _ in range(self.rng.randrange(4))])
        return self.extension(self.rng.choice([1, 3]), items)

    def scalar(self) -> Piece:
        choice = self.rng.choice
        kinds = [self.integer, self.text, self.real, self.long, self.moment, self.plain, self.moment, self.text]
        return choice(kinds)()

    def plain(self) -> Piece:
        rng = self.rng
        match rng.randrange(7):
            case 0:
                return Piece("atom", [rng.choice([b"\xc0", b"\xc2", b"\xc3", b"\x00", b"\x7f", b"\xff", b"\xe0"])])
            case 1:
                return self.bytes_(rng.randbytes(rng.choice([0, 1, 5, 255, 256])))
            case 2:
                return self.small_extension(4, rng.randbytes(rng.choice([0, 1, 4, 8, 300])))
            case 3:
                return self.small_extension(6, rng.randbytes(rng.choice([16, 16, 16, 8, 15, 17])))
            case 4:
                return self.small_extension(7, rng.choice([b"\xed\xa0\x80", b"", b"\xff", b"ok", b"\xf0\x9f\x98"]))
            case 5:
                return self.small_extension(14, rng.choice([0, 1, 2, 2**31, 2**32 - 1]).to_bytes(4, "big"))
        return Piece("bad", [rng.choice([b"\xc1", b"\xca\0\0\0\0", b"\xd4\0\0", b"\xc7\x00\x0d", b"\xc7\x01\x10\0"])])

    def integer(self) -> Piece:
        code = self.rng.randrange(0xCC, 0xD4)
        return Piece(
            "int", [bytes([code]), self.rng.choice([bytes(8), b"\xff" * 8, self.rng.randbytes(8)])[: 1 << (code & 3)]]
        )

    def real(self) -> Piece:
        number = self.rng.choice([0.0, -0.0, 1.5, float("nan"), float("inf"), 5e-324, 2.0**61, self.rng.random()])
        return Piece("float", [b"\xcb", struct.pack("!d", number)])

    def long(self) -> Piece:
        size = self.rng.choice([0, 1, 8, 9, 9, 20, 255, 256, 1792, 1793, 1794])
        return self.small_extension(5, self.rng.randbytes(size))

    # ---- time ----------------------------------------------------------------------------------------------------------

    def moment(self) -> Piece:
        rng = self.rng
        day = struct.pack(
            "!HBB", rng.choice([1, 2024, 9999, 0, 10000]), rng.choice([1, 2, 12, 13]), rng.choice([1, 29, 31, 0])
        )
        micro = rng.choice([0, 999_999, 1_000_000, 2**32 - 1])
        clock = struct.pack(
            "!BBBIB", rng.choice([0, 23, 24]), rng.choice([0, 59, 60]), rng.choice([0, 59, 60]), micro, rng.randrange(3)
        )
        if rng.random() < 0.6:
            day, clock = struct.pack("!HBB", 2024, 2, 29), struct.pack("!BBBIB", 23, 59, 59, 999_999, rng.randrange(2))
        match rng.randrange(5):
            case 0:
                return self.small_extension(9, day)
            case 1:
                parts = [rng.choice([0, 1, -1, 999_999_999, -999_999_999, 2**31 - 1, -(2**31)]) for _ in range(3)]
                return self.small_extension(11, struct.pack("!iii", *parts))
            case 2:
                return self.extension(10, Piece("time", [clock, *self.zone()]))
        return self.extension(8, Piece("moment", [day, clock, *self.zone()]))

    def zone(self) -> list[Piece]:
        rng = self.rng
        offset = Piece(
            "int", [b"\xd3", struct.pack("!q", rng.choice([0, 3_600_000_000, -1, 86_400_000_000, -(2**63), 2**63 - 1]))]
        )
        if rng.random() < 0.5:
            offset = Piece("int", [b"\xd2", struct.pack("!i", rng.choice([0, 1_800_000_000, -1_800_000_000]))])
        match rng.randrange(8):
            case 0 | 1:
                return []
            case 2:
                return [offset]
            case 3:
                return [self.array([offset, self.text()])]
            case 4 | 5:
                return [self.text(rng.choice(ZONES))]
            case 6:
                return [self.small_extension(7, rng.choice([b"UTC", b"\xed\xa0\x80", b"Europe/Berlin"]))]
        return [self.value()]

    # ---- containers ----------------------------------------------------------------------------------------------------

    def list(self) -> Piece:
        return self.array(self.values())

    def tuple(self) -> Piece:
        return self.extension(1, self.array(self.values()))

    def dict(self) -> Piece:
        pairs: list[Piece] = []
        for _ in range(self.rng.choice([0, 1, 2, 3, 4, 17, 40]) if self.left > 40 else self.rng.randrange(4)):
            again = pairs and self.rng.random() < 0.02
            key = pairs[0] if again else self.text() if self.rng.random() < 0.5 else self.hashable()
            pairs += [key, self.value()]
        return self.map(pairs)

    def set(self) -> Piece:
        items = [self.hashable() for _ in range(self.rng.randrange(5))]
        if items and self.rng.random() < 0.05:
            items.append(items[0])
        return self.extension(self.rng.choice([2, 3]), self.array(items))

    def tuple_of(self, *items: Piece) -> Piece:
        return self.extension(1, self.array([self.value() if self.rng.random() < 0.03 else item for item in items]))

    def names(self) -> Piece:
        some = [self.text() for _ in range(self.rng.randrange(3))]
        return self.extension(2, self.array(some)) if self.rng.random() < 0.5 else self.array(some)

    def mapping(self, *names: str) -> Piece:
        pairs = [part for name in names for part in (self.text(name), self.value())]
        return self.map(pairs)

    # ---- objects -------------------------------------------------------------------------------------------------------

    def object(self) -> Piece:
        name = self.rng.choice(CLASSES)
        state = self.value() if self.rng.random() < 0.1 else self.state(name)
        return self.extension(12, self.array([self.text(name), state], "object"))

    def state(self, name: str) -> Piece:
        rng = self.rng
        nil, small = Piece("atom", [b"\xc0"]), Piece("int", [bytes([rng.randrange(128)])])
        match name:
            case "fastpyro.URI":
                port = Piece("int", [b"\xcd", struct.pack("!H", rng.choice([0, 9090, 65535]))])
                protocol = self.text(rng.choice(["PYRO", "PYRONAME", "PYROMETA", "x"]))
                return self.tuple_of(
                    protocol, self.text("object"), rng.choice([nil, self.text("sock")]), self.text("host"), port
                )
            case "fastpyro.Proxy":
                uri = self.text(
                    rng.choice(["PYRO:o@127.0.0.1:1", "PYRONAME:x", "PYRO:o@./u:sock", "x", "PYRO:o@h:99999"])
                )
                kind = rng.choice([nil, self.text("serpent"), self.text("pickle"), self.text("native")])
                return self.tuple_of(uri, self.names(), self.names(), self.names(), self.value(), kind)
            case "slice":
                return self.tuple_of(self.value(), self.value(), self.value())
            case "range":
                return self.tuple_of(self.integer(), rng.choice([self.integer, self.long])(), self.integer())
            case "deque":
                return self.tuple_of(self.array(self.values()), rng.choice([nil, small, self.integer()]))
            case "OrderedDict" | "Counter" | "UserDict":
                return self.dict()
            case "defaultdict":
                return self.tuple_of(rng.choice([nil, self.text("list"), self.text("eval")]), self.dict())
            case "ipaddress":
                family = rng.choice(["IPv4Address", "IPv6Network", "IPv6Interface", "IPv5Address"])
                return self.tuple_of(
                    self.text(family), self.text(rng.choice(["1.2.3.4", "::/8", "::1%\u0661", "", "1/2"]))
                )
            case "NotImplemented" | "Ellipsis":
                return rng.choice([nil, small])
            case "UserString":
                return self.text()
            case "decimal":
                return self.text(rng.choice(NUMBERS))
            case "fraction":
                return self.tuple_of(
                    self.rng.choice([self.integer, self.long])(), self.rng.choice([self.integer, self.long])()
                )
            case "uuid":
                return self.bytes_(rng.randbytes(rng.choice([16, 16, 15, 0])))
            case "path":
                name = rng.choice(["PosixPath", "PureWindowsPath", "Path", "WindowsPath"])
                return self.tuple_of(self.text(name), self.text(rng.choice(["/a/b", "", "\0", "a" * 5000, "C:\\x"])))
            case "array":
                size = rng.choice([1, 2, 4, 8, 0, 3])
                data = self.bytes_(rng.randbytes(rng.choice([0, 8, 16, 7])))
                return self.tuple_of(self.text(rng.choice("bBhHiIlLqQfduwx")), Piece("int", [bytes([size])]), data)
            case "numpy.ndarray":
                shape = [
                    Piece("int", [bytes([rng.choice([0, 1, 2, 3])])]) if rng.random() < 0.9 else self.integer()
                    for _ in range(rng.choice([0, 1, 1, 2, 3, 65]))
                ]
                data = self.bytes_(rng.randbytes(rng.choice([0, 4, 8, 12, 16, 24])))
                return self.tuple_of(
                    self.text(rng.choice(DTYPES)),
                    self.extension(1, self.array(shape)),
                    self.text(rng.choice("CFX")),
                    data,
                )
            case "numpy.generic":
                return self.tuple_of(
                    self.text(rng.choice(DTYPES)), rng.choice([self.text, lambda: self.bytes_(bytes(8))])()
                )
            case "numpy.dtype":
                return self.text(rng.choice(DTYPES))
            case "exception":
                return self.error()
            case "grammar.Named":
                return self.tuple_of(self.extension(1, self.array([self.value(), small])), self.map([]))
            case "grammar.Kind":
                return small
        return self.mapping(*rng.choice([["inner"], ["inner"], ["inner"], ["inner", "more"], ["__class__"], []]))

    def error(self) -> Piece:
        rng = self.rng
        args = [self.value() for _ in range(rng.randrange(4))]
        if rng.random() < 0.3:
            args = [self.text(), self.array([self.object() for _ in range(rng.randrange(3))])]
        attributes = self.mapping(
            *rng.choice([[], ["x"], ["args"], ["__notes__"], ["__class__"], ["__cause__"], ["errno"]])
        )
        fields = self.mapping(*rng.choice([[], ["errno"], ["filename", "strerror"], ["name", "path"], ["x"]]))
        name = self.text(rng.choice(ERRORS))
        lines = self.array([self.text() for _ in range(rng.randrange(3))])
        return self.tuple_of(name, self.extension(1, self.array(args)), attributes, lines, self.array([]), fields)

    # ---- messages ------------------------------------------------------------------------------------------------------

    def keywords(self) -> Piece:
        return (
            self.mapping(*self.rng.choice([["a"], ["a", "b"], []]))
            if self.rng.random() < 0.5
            else Piece("atom", [b"\xc0"])
        )

    def call(self) -> Piece:
        return self.array(
            [self.text("object"), self.text("method"), self.array(self.values()), self.keywords()], "call"
        )

    def batch(self) -> Piece:
        calls = [
            self.array([self.text(), self.array(self.values()), self.keywords()]) for _ in range(self.rng.randrange(5))
        ]
        return self.array(
            [self.text("object"), self.text("<batch>"), self.array(calls), Piece("atom", [b"\xc0"])], "batch"
        )

    def results(self) -> Piece:
        results = self.values()
        if self.rng.random() < 0.5:
            inner = self.extension(12, self.array([self.text("exception"), self.error()]))
            results.append(self.extension(13, rng_choice(self.rng, inner, self.value())))
        return self.array(results, "results")


def rng_choice(rng: random.Random, usual: Piece, rare: Piece) -> Piece:
    return usual if rng.random() < 0.8 else rare


def wrap(rng: random.Random, inner: Piece) -> Piece:
    """Put a container around a value."""
    grammar = NativeGrammar(rng, 0)
    one = Piece("array", [b"\x91", inner])
    match rng.randrange(9):
        case 0 | 1:
            return one
        case 2 | 3 | 4:
            return grammar.extension(rng.choice([1, 1, 2, 3, 13, 8]), one)
        case 5:
            return Piece("map", [b"\x81\xa1k", inner])
        case 6:
            return Piece("map", [b"\x81", inner, b"\xc0"])
        case 7:
            return grammar.extension(12, Piece("object", [b"\x92\xacgrammar.Node\x81\xa5inner", inner]))
    state = Piece("error", [b"\x96\xb3builtins.ValueError", grammar.extension(1, one), b"\x80\x90\x90\x80"])
    return grammar.extension(12, Piece("object", [b"\x92\xa9exception", grammar.extension(1, state)]))
