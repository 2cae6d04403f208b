"""The pool of memory blocks: used again, bounded, given back, and never before the last view is gone."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastpyro.serializers import _blocks

MIB = 1 << 20
RESIDENT = Path("/proc/self/statm")


@pytest.fixture(autouse=True)
def empty_pool() -> Iterator[None]:
    _blocks.set_limit(0)
    _blocks.set_limit(256 * MIB)
    yield
    _blocks.set_limit(0)
    _blocks.set_limit(256 * MIB)


def pooled() -> int:
    return _blocks.statistics()["bytes"]


def address(block: _blocks.Block) -> int:
    numpy = pytest.importorskip("numpy")
    return int(numpy.frombuffer(block, "u1").ctypes.data)


def test_a_block_is_writable_memory_of_its_size() -> None:
    block = _blocks.take(100_000)
    view = memoryview(block)
    assert (len(block), view.nbytes, view.readonly, view.contiguous) == (100_000, 100_000, False, True)
    view[:] = bytes(range(250)) * 400
    assert bytes(block) == bytes(range(250)) * 400


def test_memory_is_used_again() -> None:
    block = _blocks.take(MIB)
    first = address(block)
    del block
    again = _blocks.take(MIB - 5)
    assert address(again) == first
    assert len(again) == MIB - 5


def test_a_view_keeps_the_memory() -> None:
    block = _blocks.take(MIB)
    view = memoryview(block)[10:20]
    view[:] = b"0123456789"
    del block
    assert pooled() == 0
    other = _blocks.take(MIB)
    memoryview(other)[:] = bytes(MIB)
    assert bytes(view) == b"0123456789"
    view.release()
    assert pooled() == MIB


def test_an_array_is_a_writable_view() -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.frombuffer(_blocks.take(MIB), "f8")
    array[:] = 1.5
    assert array.flags.writeable
    assert array.sum() == 1.5 * MIB / 8
    del array
    assert pooled() == MIB


def test_the_pool_keeps_no_more_than_its_limit() -> None:
    _blocks.set_limit(3 * MIB)
    blocks = [_blocks.take(MIB) for _ in range(5)]
    blocks.clear()
    assert pooled() == 3 * MIB
    _blocks.set_limit(MIB)
    assert pooled() == MIB
    _blocks.set_limit(0)
    assert _blocks.statistics()["blocks"] == 0
    with pytest.raises(ValueError, match="makes no sense"):
        _blocks.set_limit(-1)


def test_a_small_request_does_not_take_a_big_block() -> None:
    _blocks.take(64 * MIB)
    assert pooled() == 64 * MIB
    small = _blocks.take(MIB)
    assert pooled() == 64 * MIB
    assert len(small) == MIB


@pytest.mark.parametrize("size", [-1, -(2**62)])
def test_negative_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="0 bytes or more"):
        _blocks.take(size)


@pytest.mark.parametrize("size", [2**62, 2**63 - 1, (1 << 40) + 1])
def test_absurd_sizes_are_refused(size: int) -> None:
    with pytest.raises(MemoryError):
        _blocks.take(size)


def test_an_empty_block() -> None:
    assert bytes(_blocks.take(0)) == b""


@pytest.mark.skipif(not RESIDENT.exists(), reason="needs /proc")
def test_promised_memory_is_not_taken_before_it_is_written() -> None:
    # In a process of its own: what the tests before this one freed may go back to the system at any moment.
    program = (
        "import os\n"
        "from fastpyro.serializers import _blocks\n"
        "MIB = 1 << 20\n"
        "def resident():\n"
        f"    with open({str(RESIDENT)!r}) as pages:\n"
        "        return int(pages.read().split()[1]) * os.sysconf('SC_PAGESIZE')\n"
        "before = resident()\n"
        "block = _blocks.take(256 * MIB)\n"
        "promised = resident() - before\n"
        "assert promised < 16 * MIB, promised\n"
        "memoryview(block)[: 32 * MIB] = bytes(32 * MIB)\n"
        "written = resident() - before\n"
        "assert 32 * MIB <= written + 4 * MIB < 96 * MIB, written\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_idle_memory_goes_back_to_the_system() -> None:
    program = (
        "from fastpyro.serializers import _blocks; import time\n"
        "_blocks.take(1 << 20)\n"
        "assert _blocks.statistics()['bytes'] == 1 << 20\n"
        "deadline = time.monotonic() + 30\n"
        "while _blocks.statistics()['bytes']:\n"
        "    assert time.monotonic() < deadline\n"
        "    time.sleep(0.05)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_threads_may_share_the_pool() -> None:
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        choose = random.Random(seed)
        try:
            for _ in range(300):
                held = [_blocks.take(choose.choice([1, 70_000, MIB])) for _ in range(choose.randrange(4))]
                for number, block in enumerate(held):
                    memoryview(block)[:1] = bytes([number])
                assert [bytes(memoryview(block)[:1]) for block in held] == [bytes([n]) for n in range(len(held))]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_a_forked_child_has_a_pool_of_its_own() -> None:
    block = _blocks.take(MIB)
    memoryview(block)[:4] = b"mine"
    del block
    child = os.fork()
    if child == 0:
        try:
            taken = _blocks.take(MIB)
            memoryview(taken)[:4] = b"them"
            del taken
            os._exit(0 if _blocks.statistics()["bytes"] == MIB else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert bytes(memoryview(_blocks.take(MIB))[:4]) == b"mine"
