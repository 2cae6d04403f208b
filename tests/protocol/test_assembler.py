"""The message format by example: known bytes, each kind of bad bytes by name, memory, and the Python-level edges."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from array import array
from pathlib import Path
from typing import Any

import pytest
from reference_wire import FLAG_BUFFERS, HEADER, MOST_ANNOTATIONS, ReferenceMessage, encode, facts

from fastpyro.constants import (
    FLAGS_CORR_ID,
    FLAGS_ONEWAY,
    MSG_CONNECT,
    MSG_INVOKE,
    MSG_PING,
    NATIVE_SERIALIZER_ID,
    PROTOCOL_VERSION,
)
from fastpyro.errors import LocalProtocolError, MessageTooLargeError, ProtocolError, RemoteProtocolError
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Message, pack_message

CORRELATION_ID = bytes(range(16))
ANNOTATIONS = {"ABCD": b"first", "EFGH": b"", "IJKL": bytes(300)}
PING = bytes.fromhex("5059524f01f6062a0000000000000004" + "00" * 22 + "4dc5") + b"ping"
CALL = ReferenceMessage(MSG_INVOKE, FLAGS_ONEWAY | FLAGS_CORR_ID, 7, 70, b"payload", ANNOTATIONS, CORRELATION_ID)


def decode(data: Any, limit: int = 0) -> list[Message]:
    decoder = Decoder(limit)
    decoder.feed(data)
    return list(iter(decoder.next_message, None))


def ping(**changes: Any) -> bytes:
    """Lay out a ping with some of its header's fields replaced."""
    names = ("tag", "version", "kind", "serializer", "flags", "seq", "size", "chunks", "correlation", "zero", "magic")
    fields = dict(zip(names, HEADER.unpack(PING[:40]), strict=True)) | changes
    return HEADER.pack(*fields.values()) + PING[40:]


def with_annotations(chunks: bytes) -> bytes:
    return ping(chunks=len(chunks))[:40] + chunks + b"ping"


# ---- good messages ---------------------------------------------------------------------------------------------------


def test_a_ping_has_the_bytes_of_the_protocol() -> None:
    assert pack_message(MSG_PING, 0, 0, 42, b"ping") == PING
    (message,) = decode(PING)
    assert facts(message) == ReferenceMessage(6, 0, 0, 42, b"ping")


def test_a_call_has_the_bytes_of_the_protocol() -> None:
    payload = b"# serpent utf-8 python3.2\n('obj','m',(1,'x'),{'k':2})"
    header = bytes.fromhex("5059524f01f60401000000010000003500000000" + "00" * 16 + "00004dc5")
    assert pack_message(MSG_INVOKE, 0, 1, 1, payload) == header + payload[:53]
    assert header[4:6] == PROTOCOL_VERSION.to_bytes(2, "big")


def test_every_field_arrives() -> None:
    data = pack_message(MSG_INVOKE, FLAGS_ONEWAY, 7, NATIVE_SERIALIZER_ID, b"payload", ANNOTATIONS, CORRELATION_ID)
    assert data == encode(CALL)
    assert [facts(message) for message in decode(data)] == [CALL]


@pytest.mark.parametrize("number", [0, 255])
@pytest.mark.parametrize("short", [0, 0x7FFF])
def test_fields_at_their_bounds(number: int, short: int) -> None:
    data = pack_message(number, short, short, number, b"", None, CORRELATION_ID if short else None)
    (message,) = decode(data)
    assert (message.kind, message.flags, message.seq, message.serializer_id) == (number, short, short, number)


def test_the_correlation_flag_follows_the_correlation_id() -> None:
    (with_id,) = decode(pack_message(MSG_INVOKE, 0, 0, 0, b"", None, CORRELATION_ID))
    (without,) = decode(pack_message(MSG_INVOKE, FLAGS_CORR_ID | FLAGS_ONEWAY, 0, 0, b""))
    assert (with_id.flags, with_id.correlation_id) == (FLAGS_CORR_ID, CORRELATION_ID)
    assert (without.flags, without.correlation_id) == (FLAGS_ONEWAY, None)


def test_many_messages_in_one_feed_and_one_in_many() -> None:
    stream = b"".join(pack_message(MSG_CONNECT, 0, number, 0, bytes(number)) for number in range(200))
    assert [message.seq for message in decode(stream)] == list(range(200))
    decoder, seen = Decoder(), []
    for index in range(len(stream)):
        decoder.feed(stream[index : index + 1])
        seen += [message.seq for message in iter(decoder.next_message, None)]
    assert seen == list(range(200))
    assert decoder.idle


@pytest.mark.parametrize("size", [0, 1, 4095, 1 << 20, (1 << 20) + 1, (4 << 20) + 1, 10 << 20])
def test_payloads_of_all_sizes(size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    assert decode(pack_message(1, 0, 0, 0, payload))[0].payload == payload


def test_annotations_larger_than_the_first_room() -> None:
    annotations = {"BIG0": b"a" * (3 << 20), "BIG1": b"b" * (3 << 20)}
    (message,) = decode(pack_message(1, 0, 0, 0, b"end", annotations))
    assert message.annotations == annotations
    assert message.payload == b"end"


def test_reserved_header_bytes_are_ignored() -> None:
    assert facts(decode(ping(zero=0xFFFF))[0]) == facts(decode(PING)[0])


def test_unknown_kinds_flags_and_serializers_pass() -> None:
    (message,) = decode(ping(kind=200, flags=0x7F00, serializer=9))
    assert (message.kind, message.flags, message.serializer_id) == (200, 0x7F00, 9)


# ---- bad messages ----------------------------------------------------------------------------------------------------


def test_a_wrong_tag_is_refused_at_its_first_byte() -> None:
    with pytest.raises(RemoteProtocolError, match=r"start with b'H', not b'PYRO'"):
        decode(b"H")
    with pytest.raises(RemoteProtocolError, match=r"start with b'GET / '"):
        decode(b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize("version", [0, 47, 49, 501, 503, 0xFFFF])
def test_a_wrong_version_is_refused_at_six_bytes(version: int) -> None:
    with pytest.raises(RemoteProtocolError, match=rf"protocol version: {version}; versions 502 and 48 are spoken here"):
        decode(ping(version=version)[:6])


def test_a_wrong_magic_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="magic number 0xc54d"):
        decode(ping(magic=0xC54D))


@pytest.mark.parametrize("end", range(44))
def test_every_prefix_waits_for_more(end: int) -> None:
    decoder = Decoder()
    decoder.feed(PING[:end])
    assert decoder.next_message() is None
    assert decoder.idle is (end == 0)
    assert decoder.receiving is (end > 0)
    decoder.feed(PING[end:])
    assert decoder.next_message() is not None


def test_an_oversized_message_is_refused_by_its_header() -> None:
    with pytest.raises(MessageTooLargeError, match=r"message of 1,001 bytes exceeds MAX_MESSAGE_SIZE 1,000"):
        decode(ping(size=901, chunks=100)[:40], limit=1000)
    assert decode(ping(size=900, chunks=100)[:40], limit=1000) == []


def test_sizes_that_overflow_32_bits_together_are_refused() -> None:
    with pytest.raises(MessageTooLargeError, match=r"8,589,934,590 bytes exceeds MAX_MESSAGE_SIZE 4,294,967,295"):
        decode(ping(size=0xFFFFFFFF, chunks=0xFFFFFFFF)[:40])


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        (b"ABCD", "4 bytes left, a chunk has 8 or more"),
        (b"ABCD\0\0\0", "7 bytes left"),
        (b"ABCD\0\0\0\1", "claims 1 bytes, but 0 are left"),
        (b"ABCD\0\0\0\4abc", "claims 4 bytes, but 3 are left"),
        (b"ABCD\xff\xff\xff\xffabc", "claims 4,294,967,295 bytes"),
        (b"ABCD\x7f\xff\xff\xff", "claims 2,147,483,647 bytes"),
        (b"ABCD\0\0\0\1xABCD\0\0\0\1y", "annotation 'ABCD' is there twice"),
        (b"AB\x80D\0\0\0\0", "4 ASCII characters"),
        (b"ABCD\0\0\0\0EFG", "3 bytes left"),
    ],
)
def test_annotation_chunks_that_overrun_or_repeat(chunks: bytes, text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=text):
        decode(with_annotations(chunks))


def test_more_annotations_than_a_message_may_carry() -> None:
    count = MOST_ANNOTATIONS
    chunks = b"".join(bytes([n >> 10 & 127, n >> 5 & 31, n & 31, 65]) + bytes(4) for n in range(count))
    assert len(decode(with_annotations(chunks))[0].annotations) == count
    with pytest.raises(RemoteProtocolError, match="carries 4,096 annotations at the most"):
        decode(with_annotations(chunks + b"more\0\0\0\0"))


def test_messages_before_the_bad_bytes_are_delivered_and_then_the_error_stays() -> None:
    decoder = Decoder()
    decoder.feed(PING + PING + b"not a message")
    assert decoder.next_message() is not None
    assert decoder.has_message
    assert decoder.next_message() is not None
    assert decoder.has_message, "the error is something to say"
    for _ in range(3):
        decoder.feed(PING)
        with pytest.raises(RemoteProtocolError) as caught:
            decoder.next_message()
    depth, traceback = 0, caught.value.__traceback__
    while traceback is not None:
        depth, traceback = depth + 1, traceback.tb_next
    assert depth <= 2, "an error that is raised again does not collect tracebacks"


def test_a_refusal_is_a_protocol_error() -> None:
    assert issubclass(RemoteProtocolError, ProtocolError)
    assert issubclass(MessageTooLargeError, ProtocolError)


# ---- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["size", "chunks"])
def test_a_promise_of_4_gib_takes_no_memory(field: str) -> None:
    tracemalloc.start()
    try:
        decoders = [Decoder() for _ in range(20)]
        for decoder in decoders:
            decoder.feed(ping(**{"size": 0, field: 0xFFFFFFFF})[:40] + b"x" * 100)
            assert decoder.next_message() is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * (2 << 20), "a body begins with 1 MiB, whatever the header promises"


def test_memory_grows_with_what_arrived() -> None:
    tracemalloc.start()
    try:
        decoder = Decoder()
        decoder.feed(ping(size=0xFFFFFFF0)[:40])
        piece = bytes(1 << 16)
        for _ in range(80):
            decoder.feed(piece)
        current, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert current < 17 << 20, "5 MiB arrived: one room of 16 MiB"


PROMISED_BUFFER = """
import os, struct, sys
from fastpyro.protocol._message import pack_message
from fastpyro.protocol._assembler import Decoder
MIB = 1 << 20
size = 900 * MIB
def used():
    with open("/proc/self/statm") as pages:
        return [int(count) * os.sysconf("SC_PAGESIZE") for count in pages.read().split()[:2]]
ping = pack_message(4, 0x8000, 0, 70, b"")
before = used()
decoder = Decoder(1 << 30)
table = struct.pack("!IBI", 1, int(sys.argv[1]), size)
decoder.feed(ping[:12] + struct.pack("!II", len(table) + 1 + size, 0) + ping[20:40] + table)
decoder.feed(b"x" + bytes(1000))
assert decoder.receiving and decoder.next_message() is None
space, resident = (after - then for after, then in zip(used(), before))
assert resident < 8 * MIB, resident
assert space < 16 * MIB or sys.argv[1] == "2", space
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("kind", ["0", "1", "2"])
def test_a_promised_buffer_takes_no_memory(kind: str) -> None:
    """Of bytes and bytearrays no address space either; a block has its own, for which nothing is reserved."""
    subprocess.run([sys.executable, "-c", PROMISED_BUFFER, kind], check=True, timeout=60)


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("size", [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, (5 << 20) + 3])
def test_buffers_of_sizes_about_the_first_room(kind: int, size: int) -> None:
    contents = bytes(range(251)) * (size // 251 + 1)
    sent = ReferenceMessage(4, FLAG_BUFFERS, 1, 70, b"x", buffers=((kind, contents[:size]), (kind, contents[:20000])))
    data = encode(sent)
    decoder = Decoder()
    for begin in range(0, len(data), 300_007):
        decoder.feed(data[begin : begin + 300_007])
    assert facts(decoder.next_message()) == sent


OUT_OF_MEMORY = """
import resource, struct
from fastpyro.protocol._message import pack_message
from fastpyro.protocol._assembler import Decoder
header = pack_message(1, 0, 0, 0, b"")[:12] + struct.pack("!II", 1 << 31, 0) + pack_message(1, 0, 0, 0, b"")[20:]
decoder, piece = Decoder(), bytes(1 << 20)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (80 << 20), used + (80 << 20)))
decoder.feed(header)
try:
    for _ in range(200):
        decoder.feed(piece)
except MemoryError:
    pass
else:
    raise SystemExit("no MemoryError")
for _ in range(3):
    decoder.feed(piece)
    try:
        decoder.next_message()
    except MemoryError:
        continue
    raise SystemExit("the decoder goes on after it ran out of memory")
print("dead, but sound")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and limits the address space")
def test_a_decoder_that_ran_out_of_memory_is_dead_but_sound() -> None:
    if "libasan" in Path("/proc/self/maps").read_text(encoding="utf-8"):
        pytest.skip("the address sanitizer reserves terabytes: the address space cannot be limited")
    done = subprocess.run([sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("dead, but sound\n", 0), done.stderr


def test_nothing_leaks() -> None:
    data, bad = encode(CALL), with_annotations(b"ABCD\0\0\0\1xABCD\0\0\0\1y")

    def work() -> None:
        for _ in range(500):
            decode(data * 3 + data[:50])
            pack_message(1, 0, 0, 0, b"x" * 100, ANNOTATIONS, CORRELATION_ID)
            with pytest.raises(RemoteProtocolError):
                decode(bad)
        gc.collect()

    work()
    tracemalloc.start()
    try:
        work()
        before, _ = tracemalloc.get_traced_memory()
        work()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000


# ---- what this program asks for --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "numbers", [(256, 0, 0, 0), (-1, 0, 0, 0), (0, 65536, 0, 0), (0, -1, 0, 0), (0, 0, 65536, 0), (0, 0, 0, 256)]
)
def test_numbers_out_of_range_are_refused(numbers: tuple[int, int, int, int]) -> None:
    with pytest.raises(LocalProtocolError, match="out of range"):
        pack_message(*numbers, b"")


@pytest.mark.parametrize("key", ["ABC", "ABCDE", "", "ABC\xe9", 4, b"ABCD", None])
def test_annotation_keys_are_four_ascii_characters(key: Any) -> None:
    with pytest.raises(LocalProtocolError, match="an annotation key is 4 ASCII characters"):
        pack_message(1, 0, 0, 0, b"", {key: b"value"})


@pytest.mark.parametrize("value", ["text", 4, None, [1, 2]])
def test_annotation_values_are_bytes(value: Any) -> None:
    with pytest.raises(LocalProtocolError, match="annotation ABCD must be bytes, bytearray or memoryview"):
        pack_message(1, 0, 0, 0, b"", {"ABCD": value})


def test_too_many_annotations_are_refused_here_as_well() -> None:
    annotations = {f"{chr(n >> 12 & 127)}{n & 0xFFF:03x}": b"" for n in range(MOST_ANNOTATIONS + 1)}
    assert len(annotations) == MOST_ANNOTATIONS + 1
    with pytest.raises(LocalProtocolError, match="4,096 annotations at the most, not 4,097"):
        pack_message(1, 0, 0, 0, b"", annotations)


@pytest.mark.parametrize("correlation_id", [b"", b"x" * 15, b"x" * 17, bytearray(16), "x" * 16, 16])
def test_correlation_ids_are_16_bytes(correlation_id: Any) -> None:
    with pytest.raises(LocalProtocolError, match="a correlation id is 16 bytes"):
        pack_message(1, 0, 0, 0, b"", None, correlation_id)


@pytest.mark.parametrize("payload", ["text", 5, None, [1, 2]])
def test_payloads_are_bytes(payload: Any) -> None:
    with pytest.raises(TypeError):
        pack_message(1, 0, 0, 0, payload)


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda data: memoryview(b"<" + data + b">")[1:-1]])
def test_any_contiguous_buffer_is_taken(make: Any) -> None:
    payload = b"\0payload\xff"
    data = pack_message(1, 0, 0, 0, make(payload), {"ABCD": make(payload)})
    (message,) = decode(make(data))
    assert (message.payload, message.annotations) == (payload, {"ABCD": payload})


def test_buffers_of_larger_items_count_in_bytes() -> None:
    numbers = array("i", [1, 2, 3])
    assert decode(pack_message(1, 0, 0, 0, numbers))[0].payload == numbers.tobytes()


def test_buffers_with_gaps_are_refused() -> None:
    with pytest.raises(BufferError):
        pack_message(1, 0, 0, 0, memoryview(bytes(20))[::2])
    decoder = Decoder()
    with pytest.raises(BufferError):
        decoder.feed(memoryview(PING + PING)[::2])
    assert decoder.idle


def test_a_fed_buffer_may_be_changed_afterwards() -> None:
    decoder, data = Decoder(), bytearray(PING)
    decoder.feed(data)
    data[:] = b"x" * 500
    message = decoder.next_message()
    assert message is not None
    assert message.payload == b"ping"


def test_feeding_what_is_no_buffer_changes_nothing() -> None:
    decoder = Decoder()
    decoder.feed(PING[:20])
    for wrong in ("text", 5, None):
        with pytest.raises(TypeError):
            decoder.feed(wrong)  # type: ignore[arg-type]
    decoder.feed(PING[20:])
    assert decoder.next_message() is not None


def test_a_new_limit_holds_from_the_next_header_on() -> None:
    decoder = Decoder(1000)
    decoder.feed(ping(size=900)[:40])
    decoder.set_max_message_size(100)
    decoder.feed(bytes(900))
    assert decoder.next_message() is not None
    decoder.feed(ping(size=101)[:40])
    with pytest.raises(MessageTooLargeError, match="101 bytes exceeds MAX_MESSAGE_SIZE 100"):
        decoder.next_message()


def test_messages_are_read_only_and_made_by_decoders() -> None:
    (message,) = decode(encode(CALL))
    for name in ("kind", "flags", "seq", "serializer_id", "payload", "annotations", "correlation_id"):
        with pytest.raises(AttributeError):
            setattr(message, name, None)
    with pytest.raises(TypeError, match="messages come from a Decoder or a Link"):
        Message()


def test_each_message_has_annotations_of_its_own() -> None:
    first, second = decode(PING + PING)
    assert not first.has_annotations
    first.annotations["ABCD"] = b"mine"
    assert second.annotations == {}
    assert decode(PING)[0].annotations == {}


def test_a_messages_text_tells_its_facts() -> None:
    (message,) = decode(encode(CALL))
    assert repr(message) == (
        "<Message kind=4 flags=68 seq=7 serializer_id=70 payload of 7 bytes, annotations ['ABCD', 'EFGH', 'IJKL']>"
    )


def test_what_an_unfinished_message_holds_and_says_of_itself() -> None:
    decoder = Decoder()
    data = pack_message(4, 0, 9, 70, b"x" * 50_000, {f"A{number:03}": b"four" for number in range(100)})
    assert (decoder.held, decoder.begun) == (0, None)
    decoder.feed(data[:40])
    assert decoder.held == 0
    decoder.feed(data[40 : 40 + 1200])
    assert decoder.held == 1200 + 100 * 200, "each of them is an object or two"
    decoder.feed(data[40 + 1200 : -1])
    assert decoder.held == 1200 + 100 * 200 + 49_999
    begun = decoder.begun
    assert begun is not None
    assert (begun.kind, begun.seq, begun.serializer_id, begun.payload) == (4, 9, 70, b"")
    decoder.feed(data[-1:])
    assert (decoder.held, decoder.begun) == (0, None)
    assert decoder.next_message() is not None
    decoder.feed(data[:5000])
    assert decoder.held > 4000
    decoder.forget()
    assert (decoder.held, decoder.begun, decoder.receiving) == (0, None, False)
