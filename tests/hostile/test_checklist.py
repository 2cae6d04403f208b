"""The checklist of what others were hit by: one named test for each of its 19 items, from the attacker's side."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile import gadgets, packer
from hostile.battlefield import MIB, Field, Trap
from server_process import ServerProcess

import fastpyro


@pytest.fixture
def daemon(make_field: Callable[..., Field]) -> Field:
    return make_field()


def test_item_01_a_length_over_the_limit_is_refused_on_the_header(make_field: Callable[..., Field]) -> None:
    daemon = make_field("--set", "MAX_MESSAGE_SIZE=1000000")
    before = daemon.status("VmHWM")
    for admitted in (False, True):
        for size, extra in ((1_000_001, 0), (0xFFFFFFFF, 0), (0, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF)):
            with daemon.attacker(admitted=admitted) as client:
                head = packer.header(packer.INVOKE if admitted else packer.CONNECT, size, extra=extra)
                answer = client.ask_or_end(head)
                assert answer is None or answer.kind == packer.CONNECTFAIL
    assert daemon.status("VmHWM") - before < 16 * 1024
    daemon.still_serves()


def test_item_02_a_dripped_handshake_hits_a_deadline(make_field: Callable[..., Field]) -> None:
    """Each byte is in time; all of them are not."""
    daemon = make_field("--set", "HANDSHAKE_TIMEOUT=1.0", "--set", "POLLTIMEOUT=0.2")
    with daemon.attacker(patience=0.1) as client:
        began = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for byte in packer.connect("x" * 1000):
                client.send(bytes([byte]))
                with contextlib.suppress(TimeoutError):
                    if client.sock.recv(100) == b"":
                        break
        assert time.monotonic() - began < 20
    daemon.still_serves()


def test_item_03_inflating_is_bounded_by_size_and_ratio(daemon: Field) -> None:
    for size in (8 * MIB, 200 * MIB):
        with daemon.attacker(admitted=True, patience=30) as client:
            client.ask_or_end(
                packer.compressed(packer.INVOKE, packer.call_body("native", "subject", "size", [bytes(size)]))
            )
        with daemon.attacker() as client:
            client.ask_or_end(packer.compressed(packer.CONNECT, bytes(size)))
    assert daemon.status("VmHWM") < 256 * 1024
    daemon.still_serves()


def test_item_04_depth_is_limited_in_every_decoder(daemon: Field) -> None:
    deep = {
        "serpent": b"# serpent utf-8 python3.2\n" + b"[" * 5000 + b"]" * 5000,
        "json": b"[" * 5000 + b"]" * 5000,
        "msgpack": b"\x91" * 5000 + b"\xc0",
        "native": b"\x91" * 5000 + b"\xc0",
    }
    for name, payload in deep.items():
        for kind, admitted in ((packer.INVOKE, True), (packer.CONNECT, False)):
            more = {"name": name} if admitted else {}
            with daemon.attacker(admitted=admitted, **more) as client:
                client.ask_or_end(packer.message(kind, payload, serializer=packer.IDS[packer.NEW][name], seq=2))
    daemon.still_serves()


def test_item_05_counts_are_held_against_the_bytes_that_are_left(daemon: Field) -> None:
    before = daemon.status("VmHWM")
    for start in (b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"):
        for count in (2**26, 2**31 - 1, 2**32 - 1):
            lie = packer.Raw(start + struct.pack(">I", count))
            for value in (lie, packer.Ext(1, lie), packer.Ext(2, lie), packer.thing("array.array", lie)):
                with daemon.attacker(admitted=True) as client:
                    client.ask_or_end(packer.call("echo", value))
    assert daemon.status("VmHWM") - before < 32 * 1024
    daemon.still_serves()


def test_item_06_digits_are_limited(daemon: Field) -> None:
    digits = "9" * 400_000
    bodies = {
        "serpent": f"# serpent utf-8 python3.2\n('subject','kind_of',({digits},),{{}})".encode(),
        "json": f'{{"object":"subject","method":"kind_of","kwargs":{{}},"params":[{digits}]}}'.encode(),
    }
    for name, payload in bodies.items():
        before = daemon.cpu_seconds()
        with daemon.attacker(admitted=True, name=name) as client:
            client.ask_or_end(packer.message(packer.INVOKE, payload, serializer=packer.IDS[packer.NEW][name], seq=2))
        assert daemon.cpu_seconds() - before < 0.5
    with daemon.attacker(admitted=True) as client:
        for value in (packer.Ext(5, packer.Raw(b"\x7f" * 400_000)), packer.thing("decimal.Decimal", digits)):
            client.ask_or_end(packer.call("kind_of", value))
    daemon.still_serves()


def test_item_07_keys_that_are_no_text_are_harmless(daemon: Field) -> None:
    """Any hashable value may be a key here: those that collide, and those that cannot be hashed, are refused."""
    keys: list[Any] = [[1], {}, packer.Ext(2, [1]), packer.thing("array.array", packer.tup("q", bytes(8)))]
    for key in keys:
        for value in (packer.Pairs([(key, 1)]), packer.Ext(2, [key]), packer.Ext(3, [key])):
            with daemon.attacker(admitted=True) as client:
                client.ask_or_end(packer.call("kind_of", value))
    with daemon.attacker(admitted=True) as client:
        collide = packer.Pairs([(number << 44, 1) for number in range(1, 3000)])
        client.ask_or_end(packer.call("kind_of", collide))
    daemon.still_serves()


def test_item_08_cut_and_flipped_messages_neither_crash_nor_hang(daemon: Field) -> None:
    good = [packer.connect(), packer.connect(name="serpent"), packer.connect(dialect=packer.OLD, name="serpent")]
    generator = random.Random(8)
    for data in good:
        for _ in range(150):
            bad = bytearray(data)
            bad[generator.randrange(len(bad))] ^= 1 << generator.randrange(8)
            with daemon.attacker() as client:
                client.push(bytes(bad[: generator.randrange(1, len(bad) + 1)]))
    call = packer.call("echo", [1, "a", {"b": 2.5}, packer.tup(None, True)])
    for offset in range(40, len(call)):
        bad = bytearray(call)
        bad[offset] ^= 1 << generator.randrange(8)
        with daemon.attacker(admitted=True) as client:
            assert (answer := client.ask_or_end(bytes(bad))) is None or answer.kind == packer.RESULT
    daemon.still_serves()


def test_item_09_a_call_that_timed_out_gives_nobody_its_reply(daemon: Field) -> None:
    with fastpyro.Proxy(daemon.uri) as proxy:
        for number in range(20):
            proxy._pyroTimeout = 0.001
            with contextlib.suppress(fastpyro.errors.TimeoutError, fastpyro.errors.CommunicationError):
                proxy.slow(0.005)
            proxy._pyroTimeout = 10
            assert proxy.echo(number) == number
    daemon.still_serves()


def test_item_10_sequence_numbers_that_come_again_are_answered_in_kind(daemon: Field) -> None:
    """One number for all, while a call with it is outstanding."""
    with daemon.attacker(admitted=True) as client:
        client.send(packer.call("slow", 0.3, seq=65535))
        for number in range(50):
            client.send(packer.call("echo", number, seq=65535 if number % 2 else 0))
        seen = [packer.read_message(client.sock) for _ in range(51)]
        assert {answer.seq for answer in seen} == {65535, 0}
    daemon.still_serves()


@pytest.mark.parametrize("what", ["pings", "oneway calls", "connects"])
def test_item_11_floods_are_budgeted(daemon: Field, what: str) -> None:
    flood = {
        "pings": packer.message(packer.PING, b"") * 500,
        "oneway calls": packer.call("note", flags=packer.ONEWAY) * 500,
    }

    def attack(field: Field) -> None:
        while field.going():
            if what == "connects":
                with contextlib.suppress(OSError):
                    field.dial().close()
                continue
            with field.attacker(admitted=True) as client:
                client.sock.settimeout(0.5)
                client.push(flood[what])
                with contextlib.suppress(OSError, EOFError):
                    for _ in range(500 if what == "pings" else 0):
                        packer.read_message(client.sock)

    daemon.holds(f"item 11, flood of {what}", attack)


def test_item_12_a_slow_reader_has_a_bounded_queue(daemon: Field) -> None:
    def attack(field: Field) -> None:
        with field.attacker(admitted=True, patience=0.5) as client:
            client.push(b"".join(packer.call("times", b"x" * 100, 10_000, seq=seq) for seq in range(3000)))
            while field.going():
                client.push(packer.message(packer.PING, b""))

    daemon.holds("item 12, a slow reader", attack)


def test_item_13_a_name_server_runs_no_regular_expression_that_takes_for_ever() -> None:
    """Nor one that grows: 400 KB of alternatives and counted repeats of repeats."""
    with ServerProcess("-m", "fastpyro", "ns", "-n", "127.0.0.1", "-p", "0", "-x") as process:
        location = process.wait_for(r"PYRO:Pyro.NameServer@(\S+)")[1]
        with fastpyro.Proxy(f"PYRO:Pyro.NameServer@{location}") as names:
            names._pyroTimeout = 10
            for number in range(20):
                names.register("a" * 40 + str(number), "PYRO:x@localhost:1")
            for pattern in (
                "(a+)+$",
                "(a|a)*b",
                "(a*)*" * 20 + "b",
                "((a{1,200}){1,200}){1,200}b",
                "(a|" * 5000 + ")" * 5000,
            ):
                began = time.monotonic()
                with contextlib.suppress(fastpyro.errors.PyroError, ValueError):
                    names.list(regex=pattern)
                assert time.monotonic() - began < 5, pattern[:50]
            assert len(names.list()) == 21


def test_d18_no_password_is_printed(tmp_path: Path) -> None:
    environment = {"FASTPYRO_SSL_SERVERKEYPASSWD": "correct horse"}
    with ServerProcess("-m", "fastpyro", "config", environment=environment) as process:
        assert process.wait_for_end() == 0
        assert "SSL_SERVERKEYPASSWD" in process.output
        assert "correct horse" not in process.output


def test_d11_an_empty_key_is_no_key() -> None:
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        for key in ("", b""):
            with pytest.raises((ValueError, fastpyro.errors.PyroError)):
                daemon._pyroHmacKey = key


def test_item_14_a_serializer_that_is_not_accepted_is_refused_whoever_names_it(daemon: Field) -> None:
    payload = gadgets.pickled()
    for dialect, serializer in [
        (packer.OLD, 4),
        (packer.OLD, 5),
        (packer.OLD, 7),
        (packer.OLD, 3),
        (packer.NEW, 2),
        (packer.NEW, 99),
    ]:
        for kind in (packer.CONNECT, packer.INVOKE):
            with daemon.attacker() as client:
                answer = client.ask_or_end(packer.message(kind, payload, dialect=dialect, serializer=serializer))
                assert answer is None or answer.kind == packer.CONNECTFAIL
            name = "serpent" if dialect == packer.OLD else "native"
            with daemon.attacker(admitted=True, dialect=dialect, name=name) as client:
                answer = client.ask_or_end(packer.message(kind, payload, dialect=dialect, serializer=serializer, seq=2))
                assert answer is None or answer.flags & packer.EXCEPTION or answer.kind == packer.CONNECTFAIL
    daemon.still_serves()


@pytest.mark.parametrize("key", [None, "the daemon's key"])
def test_item_15_pickles_need_opting_in_and_a_peer_that_has_shown_who_it_is(
    make_field: Callable[..., Field], key: str | None
) -> None:
    """The daemon accepts pickles; a stranger's are read neither without a key nor with a wrong or empty one."""
    options = ["--set", 'SERIALIZERS_ACCEPTED=["pickle", "serpent", "native"]', "--set", "PICKLES_ON_LOOPBACK=False"]
    if key is not None:
        options += ["--key", key]
    daemon = make_field(*options)
    for signature in (None, b"", gadgets.KEY):
        with daemon.attacker() as client:
            data = packer.message(
                packer.CONNECT, gadgets.pickled(), dialect=packer.OLD, serializer=4, flags=16, key=signature
            )
            answer = client.ask_or_end(data)
            assert answer is None or answer.kind == packer.CONNECTFAIL
    assert daemon.crash() is None
    assert daemon.events() == []


def test_item_16_signatures_are_compared_in_constant_time() -> None:
    """By the source: time is no measure on a shared machine."""
    package = Path(fastpyro.__file__).parent
    sources = [*package.rglob("*.py"), *(package.parent / "csrc").rglob("*.pyx")]
    assert any("compare_digest" in path.read_text(encoding="utf-8") for path in sources)


def test_item_17_private_names_are_out_of_reach(daemon: Field) -> None:
    names = (
        "__class__ __dict__ __init__ __reduce__ __subclasshook__ _hidden _secret __getattribute__ _pyroDaemon _pyroId"
    )
    names += (
        " _Subject__private null.__func__ null.__globals__ level.fget __getattr__ __setattr__ echo.__self__ __call__"
    )
    with daemon.attacker(admitted=True) as client:
        for name in names.split():
            for data in (
                packer.call(name),
                packer.call("__getattr__", name),
                packer.call("__setattr__", name, 1),
                packer.call("echo.__call__", name),
            ):
                answer = client.ask(data)
                assert answer.flags & packer.EXCEPTION, name
            answer = client.ask(packer.batch([[name, [], None]]))
            assert b"AttributeError" in answer.payload, name
    daemon.still_serves()


def test_item_18_no_state_of_a_decoder_outlives_its_message(daemon: Field) -> None:
    """A message that ends in the middle of a value leaves nothing for the next one, whoever sends it."""
    secret = b"the secret of another client"
    with daemon.attacker(admitted=True) as first, daemon.attacker(admitted=True) as second:
        for _ in range(20):
            cut = packer.call_body("native", "subject", "echo", [secret])[:-10]
            answer = first.ask_or_end(packer.message(packer.INVOKE, cut, seq=2))
            assert answer is None or answer.flags & packer.EXCEPTION
            for odd in (packer.Ext(14, packer.Raw(struct.pack(">I", 0))), packer.Ext(14, packer.Raw(b"\xff" * 4))):
                reply = second.ask(packer.call("echo", odd))
                assert secret not in reply.payload
            if answer is None:
                break
    daemon.still_serves()


def test_item_19_only_known_classes_of_exceptions_are_built(daemon: Field) -> None:
    for name in (
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "builtins.SystemExit",
        "hostile.Tripwire",
        "a.B",
        "__main__.X",
    ):
        with daemon.attacker(admitted=True, name="serpent") as client:
            client.ask_or_end(packer.call("kind_of", gadgets.error_dict(name, args=("touch",)), name="serpent"))
        with daemon.attacker(admitted=True) as client:
            state = packer.tup(name, packer.tup("touch"), {}, [], [], {})
            client.ask_or_end(packer.call("kind_of", packer.thing("exception", state)))
    daemon.still_serves()


def test_d19_unsigned_messages_are_refused_before_they_are_read(make_field: Callable[..., Field]) -> None:
    daemon = make_field("--key", "the daemon's key")
    for payload in (b"[" * 60000, zlib.compress(bytes(MIB)), gadgets.pickled()):
        for serializer in (1, 2, 4, 6):
            for key in (None, gadgets.KEY):
                with daemon.attacker() as client:
                    data = packer.message(packer.CONNECT, payload, dialect=packer.OLD, serializer=serializer, key=key)
                    answer = client.ask_or_end(data)
                    assert answer is None or answer.kind == packer.CONNECTFAIL
    assert daemon.crash() is None
    assert daemon.events() == []


def test_d13_foreign_text_adds_no_line_to_the_log(make_field: Callable[..., Field]) -> None:
    daemon = make_field("--logging")
    evil = "x\nERROR forged line\x1b[31m\r\x07"
    with daemon.attacker(admitted=True) as client:
        for data in (
            packer.call(evil),
            packer.call("null", object_id=evil),
            packer.call("echo", packer.thing(evil, {})),
            packer.call("echo", kwargs={evil: 1}, name="native"),
        ):
            client.ask_or_end(data)
    for object_id in (evil, "subject"):
        with daemon.attacker() as client:
            client.ask_or_end(packer.connect(evil, object_id))
    daemon.still_serves()
    assert "\x1b" not in daemon.server.output
    assert "\nERROR forged" not in daemon.server.output


class HostileServer:
    """Answers whoever connects with the same bytes. A context manager."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"PYRO:x@127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError, EOFError):
                sock.settimeout(5)
                for answer in self._answers:
                    packer.read_message(sock)
                    sock.sendall(answer)

    def __enter__(self) -> HostileServer:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


def welcome(meta: Any = None) -> bytes:
    names = {"methods": ["null"], "oneway": [], "attrs": []} if meta is None else meta
    return packer.message(
        packer.CONNECTOK, packer.body("serpent", {"handshake": "hello", "meta": names}), serializer=1, seq=0
    )


@pytest.mark.parametrize("what", ["refusal", "welcome", "metadata", "reply", "error"])
def test_d01_a_hostile_server_dials_nobody_through_its_clients(make_field: Callable[..., Field], what: str) -> None:
    """The client is the subject daemon itself, whose method calls back what a client names."""
    daemon = make_field("--allow", "socket.connect", "--allow", "getaddrinfo")
    with Trap(gadgets.signed_welcome()) as trap:
        for wrap in ("itself", "OrderedDict", "lines of a traceback", "arguments of an error", "registered class"):
            value = gadgets.WRAPPERS[wrap](gadgets.proxy_dict(trap.place))
            text = packer.body("serpent", value)
            answers = {
                "refusal": [packer.message(packer.CONNECTFAIL, text, serializer=1, seq=0)],
                "welcome": [packer.message(packer.CONNECTOK, text, serializer=1, seq=0)],
                "metadata": [welcome(value)],
                "reply": [welcome(), packer.message(packer.RESULT, text, serializer=1, seq=1)],
                "error": [welcome(), packer.message(packer.RESULT, text, flags=packer.EXCEPTION, serializer=1, seq=1)],
            }[what]
            with HostileServer(*answers) as server:
                place = server.uri.partition("@")[2]
                with daemon.attacker(admitted=True) as client:
                    client.ask_or_end(packer.call("call_back", gadgets.native_proxy(place, "serpent")))
        assert not trap.caught
    daemon.still_serves()
