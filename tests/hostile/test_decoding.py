"""D1, D2, D3, D10 and D17: what a stranger's bytes make of a daemon that only reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hostile import gadgets, packer
from hostile.battlefield import Field, Trap

REPEATS = 3


def send_and_hang_up(field: Field, data: bytes, *, patience: float = 10.0) -> packer.Answer | None:
    """Send first bytes of a connection; whatever comes back must come in time."""
    with field.attacker(patience=patience) as stranger:
        return stranger.ask_or_end(data)


def test_d01_a_stranger_runs_no_code(field: Field) -> None:
    def attack(field: Field) -> None:
        for dialect, name in packer.DIALECTS:
            for wrap in ("OrderedDict", "traceback of an error", "itself", "in a list"):
                value = gadgets.WRAPPERS[wrap](gadgets.proxy_dict(trap.place))
                send_and_hang_up(field, packer.connect(value, dialect=dialect, name=name))

    with Trap(gadgets.signed_welcome()) as trap:
        field.holds("D1 code before the handshake", attack)
        assert not trap.caught


@pytest.mark.parametrize("serializer", ["pickle", "dill", "cloudpickle"])
def test_d01_a_callback_given_by_a_client_is_no_way_to_run_code(
    make_field: Callable[..., Field], serializer: str
) -> None:
    """The daemon's own method calls the proxy: it may dial, and what answers is not unpickled."""
    with Trap(gadgets.signed_welcome()) as trap:
        field = make_field("--allow", "socket.connect", "--allow", "getaddrinfo")

        def attack(field: Field) -> None:
            for dialect, name in packer.DIALECTS:
                with field.attacker(admitted=True, dialect=dialect, name=name) as client:
                    value = gadgets.proxy_dict(trap.place, "Pyro4", serializer)
                    client.ask_or_end(packer.call("call_back", value, dialect=dialect, name=name))
            with field.attacker(admitted=True) as client:
                client.ask_or_end(packer.call("call_back", gadgets.native_proxy(trap.place, serializer)))

        field.holds(f"D1 callback in {serializer}", attack)


def test_d01_an_object_that_names_its_daemon_is_no_proxy_of_the_strangers(field: Field) -> None:
    """Attributes such as _pyroId and _pyroDaemon in the state of a registered class."""

    def attack(field: Field) -> None:
        with field.attacker(admitted=True) as client:
            proxy = gadgets.native_proxy(trap.place)
            for state in (
                {"owner": "x", "balance": 1, "_pyroId": "x", "_pyroDaemon": proxy},
                {"owner": "x", "balance": 1, "_pyroDaemon": proxy, "__class__": proxy},
                {"_pyroId": proxy, "_pyroDaemon": packer.thing("hostile.Account", {"owner": "x", "balance": 1})},
            ):
                client.ask(packer.call("echo", packer.thing("hostile.Account", state)))

    with Trap(gadgets.signed_welcome()) as trap:
        field.holds("D1 an object with a daemon", attack)
        assert not trap.caught


def zones(levels: int, code: int = 10) -> packer.Raw:
    """Times that are each other's zones."""
    head = bytes(8) if code == 10 else b"\x07\xe4\x01\x01" + bytes(8)
    data = b""
    for _ in range(levels):
        inner = head + data
        data = b"\xc9" + len(inner).to_bytes(4, "big") + bytes([code]) + inner
    return packer.Raw(data)


def nested(levels: int, start: bytes, end: bytes = b"") -> bytes:
    return start * levels + b"\xc0" + end * levels


def nested_ext(levels: int, code: int, before: bytes = b"") -> packer.Raw:
    data = b"\xc0"
    for _ in range(levels):
        inner = before + data
        data = b"\xc9" + len(inner).to_bytes(4, "big") + bytes([code]) + inner
    return packer.Raw(data)


def deep_values(levels: int) -> list[packer.Raw]:
    values = [zones(levels), zones(levels, 8)]
    values += [nested_ext(levels, code) for code in (1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 13, 14)]
    values += [nested_ext(levels, code, b"\x91") for code in (1, 2, 3, 13)]
    for name in ("exception", "hostile.Account", "hostile.Tripwire", "fastpyro.Proxy", "array.array"):
        values.append(nested_ext(levels, 12, b"\x92" + packer.packed(name)))
        values.append(nested_ext(levels, 12, b"\x92" + packer.packed(name) + b"\x91"))
    values += [packer.Raw(nested(levels, start)) for start in (b"\x91", b"\x81\xa1a", b"\x81")]
    return values


TEXTS = {
    "serpent": [("[", "]"), ("(", ",)"), ("{", "}"), ("{'a':", "}"), ("-", ""), ("{1:(", ",)}"), ("+", ""), ("~", "")],
    "json": [("[", "]"), ('{"a":', "}"), ('{"__class__":"collections.OrderedDict","items":', "}")],
}


def deep_texts(name: str, levels: int) -> list[bytes]:
    prefix = b"# serpent utf-8 python3.2\n" if name == "serpent" else b""
    values = [prefix + (start * levels + "1" + end * levels).encode() for start, end in TEXTS[name]]
    for inner in (
        '{"__class__":"collections.OrderedDict","items":',
        '{"__class__":"a","state":[',
        '{"__class__":"float","value":',
    ):
        end = "]}" if inner.endswith("[") else "}"
        values.append(prefix + (inner * levels + "1" + end * levels).encode())
    return values


def test_d02_no_nesting_kills_the_process(field: Field) -> None:
    """10,000 levels after the handshake, and as many as fit before it, in every container of every format."""

    def attack(field: Field) -> None:
        for value in deep_values(3000):
            data = packer.connect(value)
            if len(data) < 65536:
                send_and_hang_up(field, data)
        for value in [*deep_values(10_000), *deep_values(99), *deep_values(101)]:
            with field.attacker(admitted=True) as client:
                client.ask_or_end(packer.call("kind_of", value))
        for dialect, name in packer.DIALECTS:
            if name in TEXTS:
                for text in deep_texts(name, 10_000):
                    with field.attacker(admitted=True, dialect=dialect, name=name) as client:
                        serializer = packer.IDS[dialect][name]
                        client.ask_or_end(
                            packer.message(packer.INVOKE, text, dialect=dialect, serializer=serializer, seq=2)
                        )

    field.holds("D2 nesting", attack, seconds=2)


def test_d02_nor_on_a_small_stack(make_field: Callable[..., Field]) -> None:
    field = make_field("--stack", "524288")

    def attack(field: Field) -> None:
        for value in [*deep_values(99), *deep_values(101), *deep_values(5000)]:
            with field.attacker(admitted=True) as client:
                client.ask_or_end(packer.call("kind_of", value))
                client.ask_or_end(packer.batch([["kind_of", [value], None]]))

    field.holds("D2 small stack", attack)


def test_d03_reading_a_handshake_dials_nobody(field: Field) -> None:
    """A proxy for the stranger's place at every position of a CONNECT, in all dialects and formats."""

    def attack(field: Field) -> None:
        for title, data in gadgets.handshakes(trap):
            try:
                send_and_hang_up(field, data, patience=5)
            except TimeoutError:
                raise AssertionError(f"no answer to: {title}") from None

    with Trap() as trap:
        field.holds("D3 dialling while reading a handshake", attack, seconds=3)
        assert not trap.caught


def test_d03_reading_a_request_dials_nobody(field: Field) -> None:
    def attack(field: Field) -> None:
        for dialect, name, data in gadgets.requests(trap):
            with field.attacker(admitted=True, patience=5, dialect=dialect, name=name) as client:
                try:
                    client.ask_or_end(data)
                except TimeoutError:
                    raise AssertionError(f"no answer to {data[:300]!r}") from None

    with Trap() as trap:
        field.holds("D3 dialling while reading a request", attack, seconds=3)
        assert not trap.caught


def test_d03_a_silent_place_keeps_nobody_waiting(field: Field) -> None:
    """85 strangers, as the finding had them, with addresses that never answer."""

    def attack(field: Field) -> None:
        value = gadgets.WRAPPERS["OrderedDict"](gadgets.proxy_dict(trap.place, "Pyro5", None, None))
        strangers = [field.attacker() for _ in range(85)]
        for stranger in strangers:
            stranger.push(packer.connect(value, name="serpent"))
        for stranger in strangers:
            stranger.ask_or_end(b"")
            stranger.sock.close()

    with Trap() as trap:
        field.holds("D3 strangers with silent places", attack, seconds=2)


ODD_VALUES: dict[str, Any] = {
    "array as object": packer.thing("array.array", packer.tup("q", b"\x00" * 80)),
    "tuple of arrays": packer.tup(packer.thing("array.array", packer.tup("d", b"\x00" * 80))),
    "NumPy array": packer.thing("numpy.ndarray", packer.tup("<f8", packer.tup(10), b"\x00" * 80)),
    "long int": packer.Ext(5, packer.Raw(b"\x7f" * 1790)),
    "lone surrogate": packer.Ext(7, packer.Raw(b"\xed\xa0\x80")),
    "tripwire": packer.thing("hostile.Tripwire", {"value": 1}),
    "bytes": b"\xff\xfe",
    "nan": float("nan"),
}


@pytest.mark.parametrize("what", ODD_VALUES)
def test_d10_an_odd_value_is_answered_or_ends_its_connection(make_field: Callable[..., Field], what: str) -> None:
    """Wherever a name, an id or arguments are expected."""
    field = make_field()
    odd = ODD_VALUES[what]
    parts: list[list[Any]] = [["subject", "echo", [1], None] for _ in range(4)]
    for position, call in enumerate(parts):
        call[position] = odd
    calls = [packer.packed(call) for call in parts]
    calls += [
        packer.packed(["subject", "<batch>", [each], None]) for each in ([odd, [], None], ["echo", odd, None], odd)
    ]
    calls += [packer.packed([odd, "<batch>", [["echo", [], None]], None])]
    calls += [
        packer.packed(["Pyro.Daemon", method, [odd], None]) for method in ("get_metadata", "get_next_stream_item")
    ]
    for payload in calls:
        for flags in (0, packer.BATCH):
            with field.attacker(admitted=True) as client:
                client.ask_or_end(packer.message(packer.INVOKE, payload, flags=flags, seq=2))
    for text in (b'{"object": "\\ud800", "method": "\\ud800", "params": [], "kwargs": {}}', b"\xff\xfe", b'"\\ud800"'):
        with field.attacker(admitted=True, name="json") as client:
            client.ask_or_end(packer.message(packer.INVOKE, text, serializer=3, seq=2))
    field.still_serves()


def asked(field: Field, method: str, value: Any) -> bytes:
    with field.attacker(admitted=True) as client:
        answer = client.ask(packer.call(method, value))
    return b"error" if answer.flags & packer.EXCEPTION else answer.payload


def test_d17_attributes_that_nobody_declared_are_refused(make_field: Callable[..., Field]) -> None:
    field = make_field()
    honest = packer.thing("hostile.Account", {"owner": "me", "balance": 1})
    assert asked(field, "is_admin", honest) == b"\xc2"
    for more in ({"is_admin": True}, {"__class__": "x"}, {"__dict__": {"a": 1}}, {"extra": 1}):
        state = {"owner": "me", "balance": 1, **more}
        assert asked(field, "is_admin", packer.thing("hostile.Account", state)) == b"error", more
    for less in ({}, {"balance": 1}):
        assert asked(field, "is_admin", packer.thing("hostile.Account", less)) == b"error", less
    field.still_serves()


def test_d17_flags_that_nobody_declared_are_refused(make_field: Callable[..., Field]) -> None:
    """Python keeps each combination of an IntFlag for ever."""
    field = make_field()
    before = field.status("VmRSS")
    for number in (1 << 40, -5, 1 << 62, 4, 8):
        for state in (number, packer.tup(number)):
            assert asked(field, "kind_of", packer.thing("hostile.Rights", state)) == b"error", number
    with field.attacker(admitted=True) as client:
        for number in range(3000):
            wide = packer.Ext(5, packer.Raw(b"\x01" * 1700 + number.to_bytes(4, "big")))
            client.ask(packer.call("kind_of", packer.thing("hostile.Rights", wide)))
    assert field.status("VmRSS") - before < 10 * 1024
    field.still_serves()
