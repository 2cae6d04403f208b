"""What codecs and links leave behind for good and for bad input, under LeakSanitizer. `make leaks` runs it.

LeakSanitizer finds memory that nothing points to. A dict, list or exception that nobody frees is not among it, for the
collector's lists point to them: those are counted. The last step leaks on purpose, one of either kind, and is content
only if both are found.

Memory is looked at while the interpreter runs: at exit it leaves thousands of blocks of its own behind. Whatever only a
variable of a Python function holds would look lost, because frames are not in malloc's memory: no such function is
running then but `main`, which has no variables.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import random
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import test_grammar_fuzz as fuzz
from conversations import ANNOTATIONS, REQUEST
from grammar import native
from grammar.peers import PEERS
from socket_pairs import unix_pair

from fastpyro.errors import PyroError
from fastpyro.protocol._message import Outgoing
from fastpyro.serializers.registry import get_serializer
from fastpyro.transport._link import Link

SEEDS = 20
"""For each of them and each format three good messages and six bad ones."""

ROUNDS = 3
"""In which the same is done again, after a first one that fills what is kept on purpose."""

BIG = bytes(3_000_000)


def native_codec() -> None:
    for seed in range(SEEDS):
        for data in fuzz.messages(seed, fuzz.native_values, native.wrap):
            value = fuzz.read(fuzz.NATIVE.loads, data)
            if not fuzz.is_refused(value):
                fuzz.read(fuzz.NATIVE.dumps, value)
        for data in fuzz.messages(seed, lambda rng, pieces: native.NativeGrammar(rng, pieces).call(), native.wrap):
            fuzz.read(fuzz.NATIVE.loads_call, data, fuzz.BUFFERS)


def peer_codec(name: str) -> None:
    serializer = get_serializer(name)
    grammar = PEERS[name]
    for seed in range(SEEDS):
        for data in fuzz.messages(
            seed,
            lambda rng, pieces: grammar(rng, pieces).value(),
            lambda rng, piece: grammar(rng, 0).wrap(piece),
        ):
            value = fuzz.read(serializer.loads, data)
            if not fuzz.is_refused(value):
                fuzz.read(serializer.dumps, value)


def refused_values() -> None:
    """Write what cannot be written, from every depth."""
    for name in ("native", *PEERS):
        serializer = get_serializer(name)
        for depth in range(1, 250, 7):
            value: Any = object()
            for _ in range(depth):
                value = {"key": [value, "text" * 20, 2**70]}
            with contextlib.suppress(PyroError):
                serializer.dumps(value)


def link() -> None:
    for size in (0, 100, 100_000):
        near, far = unix_pair()
        sender, receiver = Link(near), Link(far)
        sender.set_outlet(id, 1, 1, 0)
        sender.send(Outgoing(*REQUEST[:4], bytes(size), ANNOTATIONS))
        receiver.receive()
        sender.send(Outgoing(*REQUEST[:4], [BIG, b"more"]))
        sender.close()
        with contextlib.suppress(PyroError):
            receiver.receive()
        receiver.close()


def output() -> None:
    for end in ("close", "break_off", "abandon", "send_unsent"):
        near, far = unix_pair()
        sender = Link(near)
        sender.set_outlet(id, 1, 1, 0)
        for _ in range(3):
            sender.send(Outgoing(*REQUEST[:4], [BIG, bytearray(BIG)], ANNOTATIONS))
        assert sender.unsent
        if end == "send_unsent":
            far.close()
            with contextlib.suppress(PyroError):
                sender.send_unsent(100_000)
        else:
            getattr(sender, end)()
        sender.close()
        far.close()


def bad_bytes() -> None:
    for seed in range(SEEDS):
        near, far = unix_pair()
        receiver = Link(near, 1_000_000)
        far.sendall(random.Random(seed).randbytes(200) if seed % 2 else b"PYRO" + bytes(seed) + b"\xff" * 200)
        far.close()
        with contextlib.suppress(PyroError):
            receiver.receive()
        receiver.close()


JOBS: list[Callable[[], None]] = [
    native_codec,
    *[lambda name=name: peer_codec(name) for name in PEERS],
    refused_values,
    link,
    output,
    bad_bytes,
]


def count_collected() -> int:
    gc.collect()
    return len(gc.get_objects())


def leaves_objects(job: Callable[[], None]) -> bool:
    """Return whether each round leaves at least one object that the collector knows."""
    job()
    before = count_collected()
    for _ in range(ROUNDS):
        job()
    return count_collected() - before >= ROUNDS


def leaves_memory() -> bool:
    """Let LeakSanitizer look, and report what it finds on stderr."""
    return bool(CHECK())


def forget(value: Any) -> None:
    """Leak it."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


def leak_bytes() -> None:
    for _ in range(10):
        forget(fuzz.NATIVE.loads(fuzz.NATIVE.dumps(bytes(12_345))))


def leak_dict() -> None:
    forget(fuzz.NATIVE.loads(fuzz.NATIVE.dumps({"a": []})))


def finds_deliberate_leaks() -> bool:
    leak_bytes()
    with tempfile.TemporaryFile() as report:
        stderr = os.dup(2)
        os.dup2(report.fileno(), 2)
        try:
            found = leaves_memory()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        report.seek(0)
        text = report.read().decode(errors="replace")
    return found and "_decoder" in text and leaves_objects(leak_dict)


CHECK = ctypes.CDLL(None)["__lsan_do_recoverable_leak_check"]


def main() -> int:
    if any(leaves_objects(job) for job in JOBS):
        print("objects are left behind", file=sys.stderr)
        return 1
    if leaves_memory():
        return 1
    if not finds_deliberate_leaks():
        print("a leak made on purpose was not found", file=sys.stderr)
        return 1
    print("no leaks, and those made on purpose were found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
