"""A hostile server against default proxies of every dialect, and of both facades.

Whatever it says, the client gets a value or an error, within its time limit and a bounded memory; it connects nowhere else,
runs nothing, and goes on with other servers. Errors are PyroErrors, but where the server may choose one: in an error reply.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from hostile import gadgets, packer
from hostile.battlefield import EXACT, MEMORY, MEMORY_FACTOR, MIB, Field, Trap
from hostile.hostile_server import MODES, Conversation, HostileServer, Mode, Victim

PATIENCE = 15.0
"""Seconds that anything may take which has a time limit of one, on a busy machine."""

CODECS = MODES if EXACT else [mode for mode in MODES if mode.facade is None]
"""Where the formats differ: the facades read with the same readers."""

FEW = MODES if EXACT else [MODES[0], MODES[1], MODES[4], MODES[-1]]
"""Where the ways of a call differ, and the formats do not."""

Case = tuple[str, str, Callable[[Conversation], Any]]
"""What the client does, what the server's attack is called, and what it does to whom."""


@pytest.fixture(scope="module")
def good(good_clients: Any) -> Iterator[Field]:
    with Field(good_clients) as field:
        yield field


@pytest.fixture(scope="module")
def victims(good: Field) -> Iterator[Callable[[str | None], Victim]]:
    """The client's process for each facade, the same for all attacks."""
    with contextlib.ExitStack() as stack:

        @cache
        def victim(facade: str | None) -> Victim:
            return stack.enter_context(Victim(good.uri, facade))

        yield victim


def judge(
    victim: Victim,
    mode: Mode,
    case: Case,
    *,
    timeout: float = 20.0,
    chosen: bool = False,
    kind: str = "PYRO",
    most_connections: int = 3,
) -> dict[str, Any]:
    """Run an attack and assert what always holds.

    Arguments: ``chosen``, the error may be one of the server's choice; ``kind``, of the URI with which it is found;
    ``most_connections``, how often the client may come.
    """
    what, title, attack = case
    with HostileServer(attack, mode) as server:
        done = victim.do(what, server, mode, timeout, kind)
    told = f"{mode}, {title}: {done}, after {server.sent:,} bytes"
    assert done["is_exception"], told
    assert done["is_pyro"] or (chosen and server.sent > 0), told
    assert done["good"] is None, told
    assert done["peak"] <= MEMORY + MEMORY_FACTOR * server.sent, told
    assert done["seconds"] < timeout + PATIENCE, told
    assert server.connections <= most_connections, told
    events = victim.events()
    assert not events, f"{told}: {events[:5]}"
    return {**done, "connections": server.connections}


def fails(victim: Victim, mode: Mode, cases: list[Case], **more: Any) -> None:
    """Assert that each attack is an error at the client."""
    for case in cases:
        done = judge(victim, mode, case, **more)
        assert done["error"], f"{mode}, {case[1]}: taken for an answer"


def then(*steps: Callable[[Conversation], Any]) -> Callable[[Conversation], None]:
    """One thing after the other."""

    def run(conversation: Conversation) -> None:
        for step in steps:
            step(conversation)

    return run


def saying(make: Callable[[Conversation], bytes]) -> Callable[[Conversation], None]:
    """Hear something, say that."""

    def run(conversation: Conversation) -> None:
        conversation.hear()
        conversation.send(make(conversation))

    return run


def replying(value: Any, **more: Any) -> Callable[[Conversation], None]:
    return then(Conversation.welcome, lambda conversation: conversation.reply(value, **more))


def wrong_answers(mode: Mode) -> list[Case]:
    """Answers to CONNECT that are none."""
    gigabyte = 1 << 30
    cases: dict[str, Callable[[Conversation], bytes]] = {
        "nothing": lambda _: b"",
        "half a header": lambda talk: packer.header(packer.CONNECTOK, 10, dialect=mode.dialect)[:20],
        "no header": lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" * 10,
        "a gigabyte announced": lambda talk: packer.header(packer.CONNECTOK, gigabyte, dialect=mode.dialect) + b"x",
        "annotations announced": lambda talk: packer.header(packer.CONNECTOK, 9, dialect=mode.dialect, extra=60000),
        "more than the limit": lambda talk: packer.header(packer.CONNECTOK, (16 * MIB) + 1, dialect=mode.dialect),
        "a reply": lambda talk: talk.message(packer.RESULT, talk.body("x")),
        "a ping": lambda talk: talk.message(packer.PING, b""),
        "a call": lambda talk: talk.message(packer.INVOKE, packer.call_body(mode.name, "x", "y")),
        "an unknown kind": lambda talk: talk.message(77, b""),
        "an unknown serializer": lambda talk: talk.message(packer.CONNECTOK, b"", serializer=99),
        "a pickle": lambda talk: packer.message(
            packer.CONNECTOK, gadgets.pickled(), dialect=packer.OLD, serializer=4, seq=talk.seq
        ),
        "a signed pickle": lambda _: gadgets.signed_welcome(),
        "a refusal of the other dialect": lambda talk: packer.message(
            packer.CONNECTFAIL, b"", dialect=packer.OLD if mode.dialect == packer.NEW else packer.NEW, serializer=1
        ),
        "compressed nonsense": lambda talk: talk.answer(b"x" * 100, flags=packer.COMPRESSED),
        "a bomb": lambda talk: talk.answer(gadgets.bomb(mode.name), flags=packer.COMPRESSED),
        "a refusal that is a bomb": lambda talk: talk.answer(
            gadgets.bomb(mode.name), packer.CONNECTFAIL, flags=packer.COMPRESSED
        ),
        "ten thousand annotations": lambda talk: talk.message(
            packer.CONNECTOK, b"", annotations={f"{number:04}": b"" for number in range(8000)}
        ),
        "a native answer to nobody": lambda talk: talk.message(
            packer.CONNECTOK, b"\xc0", annotations={"FAST": b"\xff" * 99}
        ),
    }
    made: list[Case] = [("bind", title, saying(make)) for title, make in cases.items()]
    if mode.name == "native":  # the fall back to the other format
        made.pop()
    return made


METADATA: list[Any] = [
    0,
    "methods",
    [],
    ["methods"],
    {"methods": 5},
    {"methods": "null"},
    {"methods": [["null"]]},
    {"methods": {"null": 1}},
    {"methods": ["null"], "attrs": 5},
    {"methods": ["null"], "oneway": {"a": 1}},
    {"methods": ["null", None]},
    {"methods": []},
    {"methods": ["_pyroUri", "__class__", "_pyro_lock", "__del__", "__getstate__", "a\nb", "", "x" * 2000]},
]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_answers_to_a_handshake_that_are_none(victims: Callable[[str | None], Victim], mode: Mode) -> None:
    fails(victims(mode.facade), mode, wrong_answers(mode))


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_metadata_of_every_shape(victims: Callable[[str | None], Victim], mode: Mode) -> None:
    victim = victims(mode.facade)

    def case(meta: Any, what: str = "bind") -> Case:
        return what, f"metadata {str(meta)[:80]}", then(lambda talk: talk.welcome(meta), Conversation.hold)

    fails(victim, mode, [case(meta) for meta in METADATA])
    many = {"methods": ["null", *(f"name{number}" for number in range(100_001))]}
    fails(victim, mode, [case(many)])
    own = {"methods": ["null", *METADATA[-1]["methods"]], "attrs": ["_pyroConnection", "__dict__", "level"]}
    for what in ("bind", "members"):
        judge(victim, mode, case(own, what))
    later: list[Case] = [
        ("metadata", f"later {meta}", then(Conversation.welcome, lambda talk, meta=meta: talk.reply(meta)))  # type: ignore[misc]
        for meta in METADATA
    ]
    for one in later:
        judge(victim, mode, one)


def hostile_values(mode: Mode, place: str) -> Iterator[Any]:
    """Values with a proxy for the place at every position, in the mode's format."""
    if mode.name == "native":
        yield from gadgets.native_wrappers(gadgets.native_proxy(place))
        return
    gadget = gadgets.proxy_dict(place, "Pyro4" if mode.dialect == packer.OLD else "Pyro5")
    for wrap in gadgets.WRAPPERS.values():
        yield wrap(gadget)


@pytest.mark.parametrize("where", ["refusal", "welcome", "handshake data", "metadata", "reply", "batch"])
@pytest.mark.parametrize("mode", CODECS, ids=str)
def test_gadgets_in_everything_that_a_server_says(
    victims: Callable[[str | None], Victim], mode: Mode, where: str
) -> None:
    """Proxies at every place of every value: none is dialled, nothing runs, and errors are PyroErrors."""
    attacks: dict[str, Callable[[Any], Callable[[Conversation], None]]] = {
        "refusal": lambda value: saying(lambda talk: talk.answer(value, packer.CONNECTFAIL)),
        "welcome": lambda value: saying(lambda talk: talk.answer(value)),
        "handshake data": lambda value: saying(
            lambda talk: talk.answer({"handshake": value, "meta": {"methods": ["null"], "attrs": [], "oneway": []}})
        ),
        "metadata": lambda value: lambda talk: talk.welcome({"methods": value, "attrs": ["level"], "oneway": value}),
        "reply": replying,
        "batch": lambda value: replying([value, value, value], flags=packer.BATCH),
    }
    what = {"reply": "call", "batch": "batch"}.get(where, "bind")
    with Trap(gadgets.signed_welcome()) as trap:
        values = list(hostile_values(mode, trap.place))
        if not EXACT:  # each value somewhere, and not everywhere
            values = values[(MODES.index(mode) + len(where)) % 3 :: 8 if mode.name == "native" else 3]
        for value in values:
            attack = attacks[where](value)
            judge(victims(mode.facade), mode, (what, f"{where} {str(value)[:150]}", attack))
        assert not trap.caught


@pytest.mark.parametrize("kind", ["PYRONAME", "PYROMETA"])
@pytest.mark.parametrize("mode", CODECS, ids=str)
def test_name_servers_that_lead_nowhere(victims: Callable[[str | None], Victim], mode: Mode, kind: str) -> None:
    """What is no URI is not followed, nor is a Unix socket."""

    def answering(value: Any) -> Callable[[Conversation], None]:
        def run(talk: Conversation) -> None:
            talk.welcome({"methods": ["lookup", "yplookup", "list", "ping"], "attrs": [], "oneway": []})
            while True:
                talk.reply(value)

        return run

    with Trap(gadgets.signed_welcome()) as trap:
        values = list(hostile_values(mode, trap.place))[:: 9 if mode.name == "native" else 3]
        for value in [*values, *METADATA, "./u:x", "PYRO:x@./u:/tmp/x", {"a": "PYRO:x@./u:/tmp/x"}, {"a": "no uri"}]:
            case = ("bind", f"{kind} {str(value)[:150]}", answering(value))
            assert judge(victims(mode.facade), mode, case, kind=kind)["error"], case[1]
        assert not trap.caught


ENDING = ("SystemExit", "KeyboardInterrupt", "GeneratorExit", "BaseException")
CLASSES = (
    *(f"builtins.{name}" for name in (*ENDING, "ValueError", "StopIteration", "StopAsyncIteration", "MemoryError")),
    *(f"builtins.{name}" for name in ("OSError", "UnicodeDecodeError", "ExceptionGroup", "BaseExceptionGroup", "type")),
    *("asyncio.exceptions.CancelledError", "concurrent.futures._base.CancelledError", "os.system", "hostile.Tripwire"),
    *("Pyro5.errors.PyroError", "Pyro4.errors.TimeoutError", "fastpyro.errors.PyroError", "", "a\nb", "x" * 100_000),
)


def error_of(mode: Mode, class_name: str, args: Any, attributes: Any = None) -> Any:
    if mode.name != "native":
        return gadgets.error_dict(class_name, args=args, attributes=attributes)
    return packer.thing("exception", packer.tup(class_name, packer.tup(*args), attributes or {}, [], [], {}))


@pytest.mark.parametrize("what", ["call", "batch", "background", "stream"])
@pytest.mark.parametrize("mode", FEW, ids=str)
def test_error_replies(victims: Callable[[str | None], Victim], mode: Mode, what: str) -> None:
    """The server chooses the error, but none that ends the client; and whoever waits for it hears of it."""
    if what == "background" and mode.facade == "Pyro5":
        pytest.skip("Pyro5 has no asynchronous calls")
    attributes = {"_pyroUri": 1, "__class__": "x", "__dict__": {}, "__traceback__": 5, "args": 5, "__cause__": "x"}
    values = [error_of(mode, name, args) for name in CLASSES for args in ((), ("x", 1), (None,) * 5)]
    values += [error_of(mode, name, ("x",), attributes) for name in CLASSES[4:8]]
    values += ["no error", 5, None, [], {}, {"__class__": "x"}, {"__exception__": True}]
    if what != "call" and not EXACT:
        values = values[MODES.index(mode) % 4 :: 4]
    for value in values:
        attack = replying(value, flags=packer.EXCEPTION)
        done = judge(victims(mode.facade), mode, (what, f"error {str(value)[:150]}", attack), chosen=True)
        assert done["error"]


def stream_flag(mode: Mode) -> int:
    return packer.STREAM if mode.dialect == packer.NEW else packer.OLD_STREAM


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_replies_to_something_else(victims: Callable[[str | None], Victim], mode: Mode) -> None:
    other = packer.OLD if mode.dialect == packer.NEW else packer.NEW
    serializers = {70: 1, 1: 3, 2: 1, 3: 1, 4: 1, 6: 1}
    one: dict[str, dict[str, Any]] = {
        "sequence": {"seq": 54321},
        "serializer": {"serializer": serializers[packer.IDS[mode.dialect][mode.name]]},
        "pickle": {"serializer": 5 if mode.dialect == packer.OLD else 99},
        "unknown serializer": {"serializer": 200},
        "buffers": {"flags": packer.BUFFERS},
        "nonsense, compressed": {"flags": packer.COMPRESSED},
        "a stream without a name": {"flags": packer.EXCEPTION | stream_flag(mode)},
        "a stream with a long name": {
            "flags": packer.EXCEPTION | stream_flag(mode),
            "annotations": {"STRM": b"x" * 5000},
        },
    }
    if mode.dialect == packer.OLD:
        del one["buffers"]  # a flag that protocol 48 does not have
    for what in ("call", "batch", *(() if mode.facade == "Pyro5" else ("background",))):
        cases: list[Case] = [(what, f"wrong {title}", replying("hello", **more)) for title, more in one.items()]
        if what == "batch":
            cases = [case for case in cases if "stream" not in case[1]]
        for kind in (packer.CONNECT, packer.CONNECTOK, packer.CONNECTFAIL, packer.INVOKE, packer.PING, 0, 99):
            attack = then(Conversation.welcome, saying(lambda talk, kind=kind: talk.message(kind, talk.body("x"))))  # type: ignore[misc]
            cases.append((what, f"message of kind {kind}", attack))
        other_attack = then(
            Conversation.welcome,
            saying(lambda talk: packer.message(packer.RESULT, b"", dialect=other, serializer=1, seq=talk.seq)),
        )
        fails(victims(mode.facade), mode, [*cases, (what, "the other dialect", other_attack)])


@pytest.mark.parametrize("how", ["hangs up", "repeats itself", "answers nobody", "stops in the middle", "refuses"])
@pytest.mark.parametrize("mode", [MODES[0], MODES[1], MODES[-3], MODES[-1]], ids=str)
def test_many_calls_under_way(victims: Callable[[str | None], Victim], mode: Mode, how: str) -> None:
    """Fifty asynchronous calls: each of them ends, whatever their server does after the first one."""

    def attack(talk: Conversation) -> None:
        talk.welcome()
        if talk.server.connections > 1 and how == "refuses":
            return
        talk.hear()
        again = talk.message(packer.RESULT, talk.body(None)) * 100
        if how == "repeats itself":
            talk.send(again)
        elif how == "answers nobody":
            talk.send(talk.message(packer.RESULT, talk.body(None), seq=(talk.seq + 30000) & 0xFFFF))
        elif how == "stops in the middle":
            talk.send(again[:-10])

    done = judge(victims(mode.facade), mode, ("many", how, attack), most_connections=60)
    # A call that is answered before the next one is made has a connection of its own: it ended before its server went wrong.
    answered = how in ("repeats itself", "stops in the middle") and done["connections"] >= 50
    assert done["error"] or answered


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_replies_of_every_size(victims: Callable[[str | None], Victim], mode: Mode) -> None:
    """Bombs, promises, and floods of messages that nobody asked for."""
    deep = {"serpent": b"# serpent utf-8 python3.2\n" + b"[" * 9000, "json": b"[" * 9000}.get(mode.name, b"\x91" * 9000)
    bombs: list[Case] = [
        (what, f"bomb, flags {flags}", replying(gadgets.bomb(mode.name), flags=packer.COMPRESSED | flags))
        for what, flags in (("call", 0), ("call", packer.EXCEPTION), ("batch", packer.BATCH), ("attribute", 0))
    ]
    size = 1 << 31
    promise = then(
        Conversation.welcome,
        saying(lambda talk: packer.header(packer.RESULT, size, dialect=mode.dialect, seq=talk.seq)),
    )

    def flood(make: Callable[[Conversation], bytes]) -> Callable[[Conversation], None]:
        return then(Conversation.welcome, Conversation.hear, lambda talk: talk.flood(make(talk), 16 * MIB))

    floods: list[Case] = [
        (
            "call",
            f"a flood of {kind}",
            flood(lambda talk, kind=kind: talk.message(kind, talk.body("x"), seq=7777) * 100),  # type: ignore[misc]
        )
        for kind in (packer.RESULT, packer.PING, packer.CONNECTOK)
    ]
    floods.append(("call", "a flood of nonsense", flood(lambda _: b"\xff" * 65536)))
    cases: list[Case] = [
        *bombs,
        ("call", "two gigabytes announced", promise),
        ("call", "a deep value", replying(deep)),
        ("batch", "a deep batch", replying(deep, flags=packer.BATCH)),
        *floods,
    ]
    fails(victims(mode.facade), mode, cases)
    twice = then(
        Conversation.welcome, lambda talk: talk.reply(None), lambda talk: talk.flood(talk.message(2, b"") * 99, MIB)
    )
    fails(victims(mode.facade), mode, [("twice", "a flood between two calls", twice)])
    early = then(saying(lambda talk: talk.answer({"handshake": 1, "meta": {"methods": ["null"]}}) * 1000))
    fails(victims(mode.facade), mode, [("call", "a thousand welcomes", early)])


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_results_of_a_batch_that_are_more_or_fewer(victims: Callable[[str | None], Victim], mode: Mode) -> None:
    odd: list[Any] = [[], [1], [1, 2], [1, 2, 3, 4], list(range(1000)), None, 5, "abc", {"a": 1}, {}]
    cases: list[Case] = [("batch", f"results {str(value)[:50]}", replying(value, flags=packer.BATCH)) for value in odd]
    fails(victims(mode.facade), mode, cases)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_streams_without_end(victims: Callable[[str | None], Victim], mode: Mode) -> None:
    """The client ends them when it has enough; each item may announce another stream."""
    stream = {"flags": packer.EXCEPTION | stream_flag(mode), "annotations": {"STRM": b"name"}}

    def items(talk: Conversation) -> None:
        talk.welcome()
        talk.reply(None, **stream)
        while True:
            talk.reply(5)

    def streams(talk: Conversation) -> None:
        talk.welcome()
        while True:
            talk.reply(None, **stream)

    for title, attack in (("items", items), ("streams", streams)):
        assert judge(victims(mode.facade), mode, ("stream", f"endless {title}", attack))["error"] is None


SILENT: dict[str, tuple[str, Callable[[Conversation], Any]]] = {
    "after connecting": ("bind", Conversation.hold),
    "after the handshake": ("call", then(Conversation.welcome, Conversation.hold)),
    "in the middle of an answer": (
        "bind",
        then(saying(lambda talk: talk.answer({"handshake": 1, "meta": {}})[:-1]), Conversation.hold),
    ),
    "in the middle of a reply": (
        "call",
        then(
            Conversation.welcome,
            saying(lambda talk: talk.message(packer.RESULT, talk.body("x" * 1000))[:-1]),
            Conversation.hold,
        ),
    ),
    "and reads nothing": ("send much", then(Conversation.welcome, Conversation.hold)),
    "in a batch": ("batch", then(Conversation.welcome, Conversation.hold)),
}


def drip(data: bytes) -> Callable[[Conversation], None]:
    """A byte every 20 ms: each is in time, all of them are not."""

    def run(talk: Conversation) -> None:
        for byte in data:
            talk.send(bytes([byte]))
            if talk.server.ended.wait(0.02):
                return

    return run


@pytest.mark.parametrize("when", [*SILENT, "drip of an answer", "drip of a reply"])
@pytest.mark.parametrize("mode", [MODES[0], MODES[-3], MODES[-1]], ids=str)
def test_time_limits_are_honoured(victims: Callable[[str | None], Victim], mode: Mode, when: str) -> None:
    """With COMMTIMEOUT, or _pyroTimeout; without one, waiting is what the program has asked for."""

    def dripping_reply(talk: Conversation) -> None:
        talk.welcome()
        talk.hear()
        drip(talk.message(packer.RESULT, talk.body("x" * 5000)))(talk)

    def dripping_answer(talk: Conversation) -> None:
        talk.hear()
        drip(talk.answer({"handshake": "x" * 5000, "meta": {"methods": ["null"]}}))(talk)

    drips: dict[str, tuple[str, Callable[[Conversation], Any]]] = {
        "drip of an answer": ("bind", dripping_answer),
        "drip of a reply": ("call", dripping_reply),
    }
    what, attack = {**SILENT, **drips}[when]
    done = judge(victims(mode.facade), mode, (what, when, attack), timeout=0.3)
    assert done["error"].endswith("TimeoutError"), done


def test_a_flood_that_is_read_for_others_ends_them_all(good: Field) -> None:
    """Threads that share a proxy all hear of it."""
    import fastpyro

    mode = MODES[0]
    attack = then(
        Conversation.welcome, Conversation.hear, lambda talk: talk.flood(talk.message(5, b"\xc0", seq=9999) * 9)
    )
    with HostileServer(attack, mode) as server, fastpyro.Proxy(server.uri) as proxy:
        proxy._pyroTimeout = 20
        proxy._pyroBind()
        errors: list[BaseException] = []

        def call() -> None:
            try:
                proxy.null()
            except fastpyro.errors.PyroError as error:
                errors.append(error)

        threads = [threading.Thread(target=call) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        assert errors
    good.still_serves()
