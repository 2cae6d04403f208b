"""The cases that run through real Pyro and its facades: values, errors, registrations, classes that are served, misuses.

Each is source, which both sides run with the names of `case_language`. Kinds are the functions of `case_client`.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple


class Case(NamedTuple):
    """A kind, its source, and what belongs to it: formats, steps, or expressions."""

    kind: str
    source: str
    more: str = ""


VALUES = """
None
True
[True, False, 0, 1, -1, 2**31, -2**31, 2**63 - 1, -2**63]
2**64
-2**70
10**30
[0.0, -0.0, 1.5, 1e300, 5e-324]
float("inf")
[float("inf"), -float("inf")]
float("nan")
1j
[1 + 2j, complex(0, -1.5)]
""
"text"
"é ü 中 😀"
"a'b\\"c\\\\d\\ne\\tf\\0g"
"\\x7f\\x80\\x85\\u2028\\u2029\\ufeff"
"\\ud800"
"{'__class__': 1}"
b""
b"bytes"
bytes(range(256))
bytearray(b"array")
memoryview(b"view")
memoryview(b"abcdef")[::2]
[]
[[], [[]]]
[1, "a", None, [2.5, [True]]]
()
(1,)
((1, 2), (3,))
[(1, 2), [3]]
{}
{"a": 1}
{"a": {"b": {"c": []}}}
{"z": 1, "a": 2, "m": 3}
{1: "a", 2: "b"}
{1: "a", "1": "b"}
{1.5: 1}
{True: 1, False: 0}
{None: 1}
{(1, 2): 3}
{(1, (2, "a")): 3}
{b"k": 1}
{"": 1}
set()
{1}
{1, 2, 3}
{"a", 1}
{(1, 2), (3, 4)}
[{1}, {2}]
frozenset()
frozenset([1, 2])
[frozenset(["a"])]
{frozenset([1])}
range(3)
range(0, 10, 3)
slice(1, 2)
Ellipsis
NotImplemented
datetime.datetime(2020, 1, 2, 3, 4, 5)
datetime.datetime(2020, 1, 2, 3, 4, 5, 678)
datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc)
datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2, minutes=30)))
datetime.datetime(2020, 7, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"))
[datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31)]
datetime.date(2020, 1, 2)
datetime.time(1, 2, 3)
datetime.time(1, 2, 3, 4)
datetime.timedelta(1, 2, 3)
datetime.timedelta(-1)
datetime.timezone.utc
decimal.Decimal("1.50")
decimal.Decimal("NaN")
decimal.Decimal("1E+30")
[decimal.Decimal(1), {"d": decimal.Decimal(2)}]
fractions.Fraction(1, 3)
uuid.UUID(int=5)
{uuid.UUID(int=5): 1}
pathlib.PurePosixPath("a/b")
pathlib.Path("/tmp")
ipaddress.ip_address("1.2.3.4")
ipaddress.ip_network("10.0.0.0/8")
re.compile("a+")
array.array("i", [1, 2])
array.array("d", [1.5])
array.array("u", "text")
array.array("B", b"abc")
collections.deque([1, 2])
collections.deque([1], 5)
collections.OrderedDict([("b", 1), ("a", 2)])
collections.defaultdict(int, a=1)
collections.defaultdict(list)
collections.Counter("aab")
collections.ChainMap({"a": 1})
collections.UserDict(a=1)
collections.UserList([1, 2])
collections.UserString("text")
collections.namedtuple("Pair", "a b")(1, 2)
types.SimpleNamespace(a=1, b=[2])
types.MappingProxyType({"a": 1})
enum.Enum("Colour", "RED GREEN").RED
enum.IntEnum("Level", "LOW HIGH").HIGH
enum.Flag("Access", "READ WRITE").READ
enum.Enum("Word", {"A": "a"}).A
enum.Enum("Pairs", {"A": (1, 2)}).A
iter([1, 2])
(number for number in [1, 2])
map(str, [1])
zip([1], [2])
enumerate([1])
{"a": 1}.keys()
{"a": 1}.values()
{"a": 1}.items()
object()
object
int
ValueError
len
lambda: None
threading
threading.Lock()
types.FunctionType
functools.partial(int, "5")
property()
ValueError("why", 5)
[ValueError("why")]
{"error": KeyError("k")}
KeyError("k")
OSError(2, "No such file")
FileNotFoundError(2, "No such file", "name")
UnicodeDecodeError("utf-8", b"x", 0, 1, "why")
StopIteration(5)
SystemExit(3)
KeyboardInterrupt()
GeneratorExit()
Warning("careful")
ZeroDivisionError("division by zero")
errors.NamingError("no name")
errors.PyroError("broken")
errors.CommunicationError("line")
queue.Empty()
queue.Full()
URI("PYRO:object@host:1")
[URI("PYRO:object@host:1"), URI("PYRONAME:name")]
Proxy("PYRO:object@host:1")
{"proxy": Proxy("PYRO:object@host:1")}
type("Text", (str,), {})("text")
type("Number", (int,), {})(5)
type("Real", (float,), {})(1.5)
type("Items", (list,), {})([1, 2])
type("Both", (tuple,), {})((1, 2))
type("Table", (dict,), {})(a=1)
type("Data", (bytes,), {})(b"data")
type("Group", (set,), {})([1])
type("Thing", (), {})()
type("Own", (Exception,), {})("why")
{"__class__": "unknown.Thing"}
{"__class__": 5}
{"__class__": None, "a": 1}
{"__class__": "builtins.ValueError", "__exception__": True, "args": ["x"], "attributes": {}}
{"__class__": "ValueError", "__exception__": True, "args": ["x"], "attributes": {"a": 1}}
{"__class__": "builtins.int", "__exception__": True, "args": ["5"], "attributes": {}}
{"__class__": "os.system", "__exception__": True, "args": ["x"], "attributes": {}}
{"__class__": "Pyro5.core.URI", "state": ["PYRO", "a", None, "h", 1]}
{"__class__": "Pyro4.core.URI", "state": ["PYRO", "a", None, "h", 1]}
{"__class__": "float", "value": "nan"}
{"__class__": "complex", "real": 1, "imag": 2}
{"a": {"__class__": "unknown.Thing"}}
{"data": "aGk=", "encoding": "base64"}
{"__exception__": True}
[[[[[[[[[[1]]]]]]]]]]
{"a" * 300: "b" * 3000}
list(range(1000))
[None] * 100
"x" * 100000
"""

ERRORS = """
raised(ValueError("why", 5))
raised(ValueError())
raised(ValueError(None))
raised(ValueError([1, (2,)], {"a": 1}))
raised(KeyError("key"))
raised(IndexError(3))
raised(AttributeError("no such thing"))
raised(TypeError("wrong"))
raised(NameError("n"))
raised(ImportError("no module"))
raised(ModuleNotFoundError("no module", name="m"))
raised(OSError(5, "broken"))
raised(OSError("text only"))
raised(FileNotFoundError(2, "No such file", "name"))
raised(ConnectionResetError(104, "reset"))
raised(TimeoutError("late"))
raised(UnicodeDecodeError("utf-8", b"x", 0, 1, "why"))
raised(UnicodeEncodeError("utf-8", "x", 0, 1, "why"))
raised(StopIteration(5))
raised(RuntimeError("broken"))
raised(NotImplementedError("later"))
raised(AssertionError("not so"))
raised(ZeroDivisionError("division by zero"))
raised(OverflowError("too much"))
raised(RecursionError("too deep"))
raised(MemoryError("full"))
raised(EOFError("end"))
raised(SyntaxError("what"))
raised(LookupError("k"))
raised(ArithmeticError("a"))
raised(BufferError("b"))
raised(ReferenceError("r"))
raised(Exception("any"))
raised(UserWarning("careful"))
raised(DeprecationWarning("old"))
raised(errors.NamingError("no name"))
raised(errors.PyroError("broken"))
raised(errors.CommunicationError("line"))
raised(errors.ConnectionClosedError("closed"))
raised(errors.TimeoutError("late"))
raised(errors.ProtocolError("bad"))
raised(errors.SecurityError("no"))
raised(errors.SerializeError("no"))
raised(errors.DaemonError("d"))
raised(queue.Empty())
raised(queue.Full("full"))
raised(decimal.InvalidOperation("d"))
raised(type("Own", (Exception,), {})("why"))
raised(type("OwnValue", (ValueError,), {})("why", 3))
raised(ValueError(object()))
raised(ValueError(b"bytes"))
raised(ValueError({1, 2}))
raised(ValueError(datetime.date(2020, 1, 2)))
raised(subprocess.CalledProcessError(3, "command"))
raised(sqlite3.OperationalError("no such table"))
raised(socket.gaierror(-2, "unknown"))
raised(pickle.PicklingError("p"))
1 / 0
[][1]
{}["missing"]
None.nothing
int("x")
nothing_of_that_name
"a" + 1
int()()
next(iter([]))
decimal.Decimal("x")
datetime.date(2020, 13, 1)
"""


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def generated(seed: int, depth: int = 3) -> str:
    """Return the source of a value that all formats but json and marshal take as it is, or as they take it."""
    chance = random.Random(seed)

    def one(left: int) -> str:
        simple = [
            lambda: repr(chance.choice([None, True, False])),
            lambda: repr(chance.randint(-(2**40), 2**40)),
            lambda: repr(chance.uniform(-1e6, 1e6)),
            lambda: repr("".join(chance.choices("abc 'é\"\\\n中😀{}[]", k=chance.randrange(8)))),
        ]
        nested = [
            lambda: f"[{', '.join(one(left - 1) for _ in range(chance.randrange(4)))}]",
            lambda: f"({''.join(one(left - 1) + ', ' for _ in range(chance.randrange(1, 4)))})",
            lambda: "{" + ", ".join(f"{f'k{key}'!r}: {one(left - 1)}" for key in range(chance.randrange(4))) + "}",
            lambda: f"set({[chance.randrange(9) for _ in range(chance.randrange(4))]})",
            lambda: f"bytes({[chance.randrange(256) for _ in range(chance.randrange(6))]})",
            lambda: f"decimal.Decimal('{chance.uniform(-9, 9):.3f}')",
            lambda: f"datetime.datetime.fromtimestamp({chance.randrange(10**9)}, datetime.timezone.utc)",
        ]
        return chance.choice(simple + (nested * 2 if left else []))()

    return one(depth)


GENERATED = [generated(seed) for seed in range(40)]


def longer_cases() -> list[Case]:
    """Return what stands in ``cases.txt``."""
    cases = []
    for text in (Path(__file__).parent / "cases.txt").read_text(encoding="utf-8").split("\n### ")[1:]:
        kind, _, rest = text.partition("\n")
        source, _, more = rest.partition("---\n")
        cases.append(Case(kind, source, more.rstrip("\n")))
    return cases


def catalogue() -> list[Case]:
    """Return all cases."""
    cases = [Case("value", source) for source in lines(VALUES)]
    cases += [Case("value", source, "serpent json msgpack") for source in dict.fromkeys(GENERATED)]
    cases += [Case("error", source, "serpent json") for source in lines(ERRORS)]
    cases += longer_cases()
    return cases
