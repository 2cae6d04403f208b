"""D4 to D8 and D16: memory, time, places and threads that one client can take from the others."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from hostile import packer
from hostile.battlefield import CPU_FACTOR, MIB, Attacker, Field

# D4: clients that do not read.


def silent_readers(field: Field, data: bytes, connections: int = 1) -> list[Attacker]:
    """Clients that send these calls and read nothing until the fight is over."""
    clients = [field.attacker(admitted=True, patience=0.5) for _ in range(connections)]
    for client in clients:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for client in clients:
        client.push(data)
    return clients


def wait_until_over(field: Field, clients: list[Attacker]) -> None:
    while field.going():
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            clients[0].push(packer.message(packer.PING, b""))
    for client in clients:
        client.sock.close()


SILENT: dict[str, bytes] = {
    "20 MB replies": b"".join(packer.call("times", b"x" * 20, 1_000_000, seq=seq) for seq in range(100)),
    "20 MB of text": b"".join(packer.call("times", "x" * 20, 1_000_000, seq=seq) for seq in range(100)),
    "medium replies": b"".join(packer.call("times", b"x" * 20, 10_000, seq=seq) for seq in range(2000)),
    "metadata": b"".join(
        packer.call("get_metadata", "Pyro.Daemon", object_id="Pyro.Daemon", seq=seq % 65000) for seq in range(20_000)
    ),
    "pings": packer.message(packer.PING, b"x" * 1000) * 20_000,
    "errors": b"".join(packer.call("x" * 200, seq=seq % 65000) for seq in range(20_000)),
    "coroutines": b"".join(packer.call("wait", 0.0, seq=seq % 65000) for seq in range(20_000)),
    "batches": b"".join(packer.batch([["times", [b"x" * 20, 100_000], None]] * 10, seq=seq) for seq in range(50)),
}


@pytest.mark.parametrize("what", SILENT)
def test_d04_a_client_that_does_not_read_stops_nobody(field: Field, what: str) -> None:
    field.holds(f"D4 not reading {what}", lambda field: wait_until_over(field, silent_readers(field, SILENT[what])))


@pytest.mark.parametrize("what", ["20 MB replies", "20 MB of text", "batches"])
def test_d04_nor_do_thirty_of_them(field: Field, what: str) -> None:
    field.holds(
        f"D4 thirty clients that do not read {what}",
        lambda field: wait_until_over(field, silent_readers(field, SILENT[what][:2000], 30)),
    )


def test_d04_a_client_that_reads_a_byte_at_a_time_stops_nobody(field: Field) -> None:
    def attack(field: Field) -> None:
        clients = silent_readers(field, SILENT["20 MB replies"])
        while field.going():
            with contextlib.suppress(OSError):
                clients[0].sock.recv(1)
        clients[0].sock.close()

    field.holds("D4 reading byte by byte", attack)


# D5: memory.


def small_containers(count: int) -> bytes:
    return struct.pack(">BI", 0xDD, count) + b"\x80" * count


EXPENSIVE: dict[str, Callable[[], bytes]] = {
    "compressed maps": lambda: packer.compressed(
        packer.INVOKE,
        b"\x94" + packer.packed("subject") + packer.packed("size") + b"\x91" + small_containers(60_000_000) + b"\xc0",
    ),
    "compressed zeros": lambda: packer.compressed(packer.INVOKE, bytes(900 * MIB)),
    "compressed sets": lambda: packer.compressed(
        packer.INVOKE,
        b"\x94" + packer.packed("subject") + packer.packed("size") + b"\x91" + struct.pack(">BI", 0xDD, 10_000_000)
        + b"\xc7\x01\x02\x90" * 10_000_000 + b"\xc0",
    ),
    "plain maps": lambda: packer.call("size", packer.Raw(small_containers(20_000_000))),
    "plain lists in serpent": lambda: packer.message(
        packer.INVOKE, b"# serpent utf-8 python3.2\n('subject','size',([" + b"{}," * 5_000_000 + b"],),{})", serializer=1
    ),
    "plain lists in JSON": lambda: packer.message(
        packer.INVOKE,
        b'{"object":"subject","method":"size","kwargs":{},"params":[[' + b"{}," * 5_000_000 + b"0]]}",
        serializer=3,
    ),
    "a batch of big results": lambda: packer.batch([["times", [b"x" * 1000, 2000], None]] * 5000),
}  # fmt: skip


@pytest.mark.parametrize("what", EXPENSIVE)
def test_d05_small_messages_take_no_big_memory(make_field: Callable[..., Field], what: str) -> None:
    field = make_field()
    data = EXPENSIVE[what]()

    def attack(field: Field) -> None:
        for _ in range(2):
            with field.attacker(admitted=True, patience=60) as client:
                client.ask_or_end(data)

    field.holds(f"D5 {what}", attack, seconds=3)


def test_d05_a_promise_takes_no_memory(field: Field) -> None:
    """Twenty clients announce 900 MB each, in each part of a message that has a length, and send nothing of it."""

    def attack(field: Field) -> None:
        clients = [field.attacker(admitted=True) for _ in range(20)]
        size = 900_000_000
        for number, client in enumerate(clients):
            if number % 4 == 0:
                client.push(packer.header(packer.INVOKE, size) + b"x" * 100)
            elif number % 4 == 1:
                client.push(packer.header(packer.INVOKE, size, extra=60000) + b"ABCD\x00\x00\xea\x00")
            elif number % 4 == 2:
                table = struct.pack(">IBI", 1, 0, size - 100)
                client.push(packer.header(packer.INVOKE, size, flags=packer.BUFFERS) + table + b"\x90" * 91)
            else:
                table = struct.pack(">I", 9) + struct.pack(">BI", 2, 99_000_000) * 9
                client.push(packer.header(packer.INVOKE, size, flags=packer.BUFFERS) + table)
        wait_until_over(field, clients[:1])
        for client in clients:
            client.sock.close()

    verdict = field.holds("D5 promises of 900 MB", attack)
    assert verdict.peak < 150 * MIB


def test_d05_waiting_requests_count_their_buffers(make_field: Callable[..., Field]) -> None:
    """Big arguments of calls that wait for a place."""
    field = make_field("--set", "THREADPOOL_SIZE=4")

    def attack(field: Field) -> None:
        slow = [field.attacker(admitted=True) for _ in range(4)]
        for client in slow:
            client.push(b"".join(packer.call("slow", 4.0, seq=seq) for seq in range(4)))
        clients = [field.attacker(admitted=True, patience=1) for _ in range(12)]
        data = bytes(50 * MIB)
        for client in clients:
            client.push(packer.call("size", data))
        for client in [*slow, *clients]:
            client.sock.close()

    verdict = field.fight("D5 big arguments that wait", attack, seconds=3)
    assert verdict.crashed is None
    assert verdict.peak < 1024 * MIB


def test_d05_a_long_name_comes_back_cut(field: Field) -> None:
    def attack(field: Field) -> None:
        name = "x" * (20 * MIB)
        for call in (
            packer.call(name),
            packer.call("null", object_id=name),
            packer.call("echo", packer.thing(name, {})),
            packer.call("__getattr__", name),
            packer.call("get_next_stream_item", name, object_id="Pyro.Daemon"),
            packer.call("get_metadata", name, object_id="Pyro.Daemon"),
            packer.batch([[name, [], None]]),
            packer.call("null", kwargs={name: 1}),
        ):
            with field.attacker(admitted=True) as client:
                answer = client.ask_or_end(call)
                assert answer is None or len(answer.payload) < 65536, call[:100]

    field.holds("D5 a name of 20 MB", attack, seconds=2)


# D6: loops that end.


def test_d06_no_thread_to_be_had_ends_no_loop(make_field: Callable[..., Field]) -> None:
    """1,000 oneway calls of a Pyro5 client, in 3 GiB of address space."""
    for servertype in ("thread", "multiplex"):
        field = make_field("--address-space", str(3 << 30), servertype=servertype)

        def attack(field: Field) -> None:
            with field.attacker(admitted=True, name="serpent") as client:
                client.push(
                    b"".join(
                        packer.call("slow", 3.0, name="serpent", flags=packer.ONEWAY, seq=seq) for seq in range(1000)
                    )
                )

        verdict = field.fight("D6 oneway flood", attack, seconds=2)
        assert verdict.crashed is None
        assert not verdict.events
        assert verdict.threads < 300
        field.still_serves()
        field.stop()


def test_d06_no_memory_to_be_had_ends_no_loop(make_field: Callable[..., Field]) -> None:
    for servertype in ("thread", "multiplex"):
        field = make_field("--address-space", str(1500 << 20), servertype=servertype)

        def attack(field: Field) -> None:
            clients = [field.attacker(admitted=True, patience=2) for _ in range(4)]
            data = packer.call("size", bytes(500 * MIB))
            for client in clients:
                client.push(data)
                client.sock.close()

        verdict = field.fight("D6 more than there is memory for", attack, seconds=2)
        assert verdict.crashed is None
        field.still_serves()
        field.stop()


def test_d08_who_sends_nothing_more_while_its_calls_run_is_noticed(make_field: Callable[..., Field]) -> None:
    """Slow calls are answered, and then the connection ends, in whatever thread its end is read; nothing of it stays."""
    field = make_field()

    def attack(field: Field) -> None:
        hello, slow = packer.connect(), packer.call("slow", 0.002)
        for _ in range(40):
            attackers = [field.attacker() for _ in range(4)]
            for one in attackers:
                one.send(hello + 2 * slow)
                one.sock.shutdown(socket.SHUT_WR)
            for one in attackers:
                while one.sock.recv(65536):
                    pass
                one.sock.close()

    before = field.descriptors()
    verdict = field.fight("D8 calls, and nothing more", attack, seconds=2)
    assert verdict.crashed is None
    field.still_serves()
    deadline = time.monotonic() + 20
    while field.descriptors() > before:
        assert time.monotonic() < deadline, "connections whose clients have gone stay"


# D7: time.


def colliding_ints(count: int, bits: int = 20) -> list[int]:
    """Integers in one place of every dict that is smaller than 2**bits slots."""
    return [number << bits for number in range(1, count + 1)]


def probe_orbit(count: int, slots: int = 1 << 17) -> list[int]:
    """Keys along the orbit on which a dict of so many slots looks for a free place after a collision."""
    keys: list[int] = []
    mask, place, perturb = slots - 1, 1, 1
    while len(keys) < count:
        keys.append(place)
        perturb >>= 5
        place = (place * 5 + perturb + 1) & mask
    return keys


def as_map(keys: list[Any]) -> packer.Pairs:
    return packer.Pairs([(key, None) for key in keys])


ORDINARY = [f"word {number}" for number in range(50_000)]

SLOW: dict[str, Callable[[], Any]] = {
    "orbit, then colliding": lambda: as_map(
        list(dict.fromkeys(probe_orbit(40_000) + [1 + (number << 17) for number in range(1, 40_000)]))
    ),
    "colliding ints": lambda: as_map(colliding_ints(40_000)),
    "small dicts of colliding ints": lambda: [as_map(colliding_ints(900)) for _ in range(100)],
    "set of colliding ints": lambda: packer.Ext(2, colliding_ints(40_000)),
    "sets of colliding ints": lambda: [packer.Ext(2, colliding_ints(900)) for _ in range(100)],
    "ints modulo 2**61 - 1": lambda: as_map([number * ((1 << 61) - 1) for number in range(-4, 8)] * 3000),
    "floats": lambda: as_map([float(number << 40) for number in range(1, 40_000)]),
    "tuples": lambda: as_map([packer.Ext(1, [number << 40, 0]) for number in range(1, 40_000)]),
    "keys that are NaN": lambda: as_map([float("nan")] * 40_000),
    "dates": lambda: as_map(
        [packer.Ext(9, packer.Raw(struct.pack(">HBB", 1 + n % 9000, 1 + n // 9000, 1))) for n in range(40_000)]
    ),
    "long ints": lambda: [packer.Ext(5, packer.Raw(b"\x7f" * 1790)) for _ in range(200)],
}  # fmt: skip


def cost(field: Field, data: bytes) -> float:
    """Processor seconds of the daemon for one message."""
    with field.attacker(admitted=True, patience=60) as client:
        client.ask(packer.call("null"))
        before = field.cpu_seconds()
        client.ask_or_end(data)
    with field.attacker(admitted=True, patience=60) as client:
        client.ask(packer.call("null"))
        return field.cpu_seconds() - before


def ordinary_of(size: int) -> bytes:
    words: list[str] = []
    rest = size
    generator = random.Random(7)
    while rest > 0:
        words.append(f"word {generator.randrange(10**9)}")
        rest -= len(words[-1]) + 5
    return packer.call("kind_of", words)


@pytest.mark.parametrize("what", SLOW)
def test_d07_hostile_bytes_take_no_longer_than_ordinary_ones(make_field: Callable[..., Field], what: str) -> None:
    """Within a factor, of which a shared machine makes a third part more; below 30 ms nobody counts."""
    field = make_field()
    data = packer.call("kind_of", SLOW[what]())
    ordinary = min(cost(field, ordinary_of(len(data))) for _ in range(3))
    hostile = min(cost(field, data) for _ in range(2))
    field.still_serves()
    assert hostile <= max(CPU_FACTOR * ordinary, 0.03), (
        f"{hostile:.3f} s instead of {ordinary:.3f} for {len(data):,} bytes"
    )


def test_d07_stored_blocks_are_inflated_in_one_pass(make_field: Callable[..., Field]) -> None:
    import zlib

    field = make_field()
    payload = packer.call_body("native", "subject", "size", [bytes(96 * MIB)])
    squeezer = zlib.compressobj(0)
    stored = squeezer.compress(payload) + squeezer.flush()
    data = packer.message(packer.INVOKE, stored, flags=packer.COMPRESSED, seq=2)
    ordinary = cost(field, packer.message(packer.INVOKE, payload, seq=2))
    hostile = cost(field, data)
    field.still_serves()
    assert hostile <= CPU_FACTOR * max(ordinary, 0.05), f"{hostile:.2f} s instead of {ordinary:.2f}"


# D8: places.


def test_d08_open_streams_cost_their_owner_only(field: Field) -> None:
    """20,000 open streams of one client, while others connect and go."""

    def attack(field: Field) -> None:
        with field.attacker(admitted=True) as client:
            calls = b"".join(packer.call("numbers", 1000, seq=seq) for seq in range(500))
            while field.going() and field.sent < 40 * len(calls):
                if client.push(calls) < len(calls):
                    break
                for _ in range(500):
                    packer.read_message(client.sock)

    field.holds("D8 open streams", attack, seconds=3)


PLACES: dict[str, bytes] = {
    "slow calls": b"".join(packer.call("slow", 5.0, seq=seq) for seq in range(200)),
    "coroutines": b"".join(packer.call("wait", 5.0, seq=seq) for seq in range(2000)),
    "oneway calls": b"".join(packer.call("slow", 5.0, seq=seq, flags=packer.ONEWAY) for seq in range(500)),
    "slow calls of a session": b"".join(packer.call("slow", 5.0, seq=seq, object_id="session") for seq in range(200)),
    "batches": b"".join(packer.batch([["slow", [1.0], None]] * 5, seq=seq) for seq in range(200)),
}


@pytest.mark.parametrize("what", PLACES)
def test_d08_one_client_does_not_take_all_places(make_field: Callable[..., Field], what: str) -> None:
    """With server type thread, where slow calls are no matter; everything from one connection, then from ten."""
    field = make_field("--set", "THREADPOOL_SIZE=20")

    def attack(field: Field) -> None:
        clients = silent_readers(field, PLACES[what], 10)
        wait_until_over(field, clients)

    field.holds(f"D8 {what}", attack)


def test_d08_one_stream_fetched_many_times_takes_not_all_places(make_field: Callable[..., Field]) -> None:
    field = make_field("--set", "THREADPOOL_SIZE=20")

    def attack(field: Field) -> None:
        with field.attacker(admitted=True) as client:
            answer = client.ask(packer.call("waiting_stream"))
            stream = answer.annotations[8:].decode()
            fetch = [packer.call("get_next_stream_item", stream, object_id="Pyro.Daemon", seq=s) for s in range(100)]
            client.push(b"".join(fetch))
            wait_until_over(field, [client])

    field.holds("D8 one waiting stream", attack)


def test_d08_silent_connections_keep_nobody_out(make_field: Callable[..., Field]) -> None:
    """1,000 that say nothing, at a daemon with 1,024 descriptors."""
    for servertype in ("thread", "multiplex"):
        field = make_field("--descriptors", "1024", servertype=servertype)

        def attack(field: Field) -> None:
            strangers: list[socket.socket] = []
            with contextlib.suppress(OSError):
                while len(strangers) < 1500:
                    strangers.append(field.dial())
            while field.going():
                with contextlib.suppress(OSError):
                    strangers[0].settimeout(0.2)
                    strangers[0].recv(1)
                    strangers.append(field.dial())
                    strangers.pop(0).close()
            for sock in strangers:
                sock.close()

        field.holds("D8 silent connections", attack)
        field.stop()


FLOODS: dict[str, bytes] = {
    "unknown methods": b"".join(packer.call("nothing", seq=seq) for seq in range(100)),
    "unknown objects": b"".join(packer.call("null", object_id="nothing", seq=seq) for seq in range(100)),
    "wrong arguments": b"".join(packer.call("size", seq=seq) for seq in range(100)),
    "unknown classes": b"".join(packer.call("echo", packer.thing("no.such", {}), seq=seq) for seq in range(100)),
    "null calls": b"".join(packer.call("null", seq=seq) for seq in range(100)),
    "pings": packer.message(packer.PING, b"") * 100,
    "errors in a batch": b"".join(packer.batch([["nothing", [], None]], seq=seq) for seq in range(100)),
}


@pytest.mark.parametrize("what", FLOODS)
def test_d08_errors_of_one_are_cheap_for_the_others(field: Field, what: str) -> None:
    def attack(field: Field) -> None:
        with field.attacker(admitted=True) as client:
            while field.going():
                if client.push(FLOODS[what]) < len(FLOODS[what]):
                    return
                with contextlib.suppress(EOFError, OSError):
                    for _ in range(100):
                        packer.read_message(client.sock)

    field.holds(f"D8 flood of {what}", attack)


def test_d08_a_storm_of_connections_keeps_nobody_out(field: Field) -> None:
    """Connects, and connects that shake hands and go, as fast as one process can."""

    def attack(field: Field) -> None:
        hello = packer.connect()
        while field.going():
            with contextlib.suppress(OSError, EOFError), field.attacker() as stranger:
                stranger.push(hello)

    field.holds("D8 connect flood", attack)


# D16: coroutines and exits.


def test_d16_a_coroutine_may_raise_anything(field: Field) -> None:
    def attack(field: Field) -> None:
        with field.attacker(admitted=True) as client:
            for seq in range(50):
                answer = client.ask(packer.call("leave", seq=seq))
                assert answer.flags & packer.EXCEPTION
                assert client.ask(packer.call("exit", seq=seq)).flags & packer.EXCEPTION

    field.holds("D16 GeneratorExit", attack)
