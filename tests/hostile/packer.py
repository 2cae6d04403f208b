"""Bytes that an attacker writes by hand: headers of both protocols, and the formats' values. Shares no code with fastpyro.

A value tree for the formats that carry msgpack may hold ``Ext``, ``Raw`` (bytes that stand as they are) and ``Pairs``, a
map whose keys may be anything and may repeat.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import struct
import zlib
from typing import Any, NamedTuple

CONNECT, CONNECTOK, CONNECTFAIL, INVOKE, RESULT, PING = range(1, 7)
EXCEPTION, COMPRESSED, ONEWAY, BATCH = 1, 2, 4, 8
STREAM, OLD_STREAM, BUFFERS = 16, 32, 32768
NEW, OLD = 502, 48
IDS = {
    NEW: {"serpent": 1, "marshal": 2, "json": 3, "msgpack": 4, "native": 70},
    OLD: {"serpent": 1, "json": 2, "marshal": 3, "pickle": 4, "dill": 5, "msgpack": 6, "cloudpickle": 7},
}
DIALECTS = [(NEW, "serpent"), (NEW, "json"), (NEW, "msgpack"), (OLD, "serpent"), (OLD, "json"), (OLD, "msgpack")]


class Ext(NamedTuple):
    """An extension of msgpack: code, and its body as a value or as ``Raw``."""

    code: int
    body: Any


class Raw(NamedTuple):
    """Bytes that are the encoded value already."""

    data: bytes


class Pairs(NamedTuple):
    """A map as its pairs, which no dict could hold."""

    items: list[tuple[Any, Any]]


def header(
    kind: int, size: int, *, dialect: int = NEW, flags: int = 0, serializer: int = 70, seq: int = 1, extra: int = 0
) -> bytes:
    """A header alone, which may promise whatever it likes; ``extra`` is the size of the annotations."""
    if dialect == NEW:
        fields = (b"PYRO", NEW, kind, serializer, flags, seq, size, extra, b"", 0, 0x4DC5)
        return struct.pack(">4sHBBHHII16sHH", *fields)
    total = (OLD + kind + flags + seq + size + serializer + extra + 0x34E9) & 0xFFFF
    return struct.pack(">4sHHHHIHHHH", b"PYRO", OLD, kind, flags, seq, size & 0xFFFFFFFF, serializer, extra, 0, total)


def message(
    kind: int,
    payload: bytes,
    *,
    dialect: int = NEW,
    flags: int = 0,
    serializer: int = 70,
    seq: int = 1,
    annotations: dict[str, bytes] | None = None,
    key: bytes | None = None,
) -> bytes:
    """A whole message; with a key (protocol 48) it is signed."""
    chosen = dict(annotations or {})
    if key is not None:
        digest = hmac.new(key, payload, hashlib.sha1)
        for name in sorted(chosen):
            digest.update(chosen[name])
        chosen["HMAC"] = digest.digest()
    size = ">I" if dialect == NEW else ">H"
    packed = b"".join(name.encode() + struct.pack(size, len(value)) + value for name, value in chosen.items())
    head = header(kind, len(payload), dialect=dialect, flags=flags, serializer=serializer, seq=seq, extra=len(packed))
    return head + packed + payload


def packed(value: Any) -> bytes:
    """A value in msgpack."""
    match value:
        case Raw(data):
            return data
        case Ext(code, body):
            data = packed(body)
            return struct.pack(">BIb", 0xC9, len(data), code) + data
        case Pairs(items):
            return struct.pack(">BI", 0xDF, len(items)) + b"".join(packed(key) + packed(item) for key, item in items)
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return _packed_int(value)
        case float():
            return struct.pack(">Bd", 0xCB, value)
        case str():
            data = value.encode()
            return struct.pack(">BI", 0xDB, len(data)) + data
        case bytes():
            return struct.pack(">BI", 0xC6, len(value)) + value
        case list() | tuple():
            return struct.pack(">BI", 0xDD, len(value)) + b"".join(map(packed, value))
        case dict():
            return packed(Pairs(list(value.items())))
    raise TypeError(f"no form for {value!r}")


def _packed_int(value: int) -> bytes:
    if 0 <= value < 128:
        return bytes([value])
    return struct.pack(">Bq", 0xD3, value) if -(1 << 63) <= value < 1 << 63 else struct.pack(">BQ", 0xCF, value)


def tup(*items: Any) -> Ext:
    """A tuple in the native format."""
    return Ext(1, list(items))


def thing(class_name: str, state: Any) -> Ext:
    """An object in the native format."""
    return Ext(12, [class_name, state])


def body(name: str, value: Any) -> bytes:
    """A value in the format of that name; class dicts are dicts."""
    if name == "serpent":
        return b"# serpent utf-8 python3.2\n" + repr(value).encode()
    if name == "json":
        return json.dumps(value).encode()
    return packed(value)


def call_body(name: str, object_id: Any, method: Any, args: Any = (), kwargs: Any = None) -> bytes:
    """The payload of a call in the format of that name."""
    if name == "json":
        return body(name, {"object": object_id, "method": method, "params": list(args), "kwargs": kwargs or {}})
    if name == "serpent":
        return body(name, (object_id, method, tuple(args), kwargs or {}))
    if name == "native":
        return packed([object_id, method, Raw(packed(list(args))), kwargs])
    return packed([object_id, method, list(args), kwargs or {}])


def connect(value: Any = "hello", object_id: Any = "subject", *, dialect: int = NEW, name: str = "native") -> bytes:
    """A CONNECT with that handshake data."""
    payload = body(name, {"handshake": value, "object": object_id})
    flags = 16 if dialect == OLD else 0
    annotations = {"FAST": b"\x01"} if name == "native" else None
    return message(
        CONNECT, payload, dialect=dialect, serializer=IDS[dialect][name], flags=flags, annotations=annotations
    )


def call(
    method: Any,
    *args: Any,
    object_id: Any = "subject",
    seq: int = 2,
    flags: int = 0,
    dialect: int = NEW,
    name: str = "native",
    kwargs: Any = None,
) -> bytes:
    """An INVOKE."""
    payload = call_body(name, object_id, method, args, kwargs)
    return message(INVOKE, payload, dialect=dialect, serializer=IDS[dialect][name], flags=flags, seq=seq & 0xFFFF)


def batch(calls: list[Any], object_id: str = "subject", *, flags: int = 0, seq: int = 2) -> bytes:
    """A batch in the native format: calls are [name, arguments, keywords or nil]."""
    payload = packed([object_id, "<batch>", calls, None])
    return message(INVOKE, payload, flags=BATCH | flags, seq=seq)


def compressed(kind: int, payload: bytes, **more: Any) -> bytes:
    """A message whose payload is squeezed as far as zlib can."""
    return message(kind, zlib.compress(payload, 9), flags=COMPRESSED | more.pop("flags", 0), **more)


class Answer(NamedTuple):
    """A message that came back."""

    kind: int
    flags: int
    serializer: int
    seq: int
    payload: bytes
    annotations: bytes


def _exactly(sock: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        data = sock.recv(min(size - len(parts), 1 << 20))
        if not data:
            raise EOFError("the peer has closed")
        parts += data
    return bytes(parts)


def read_message(sock: socket.socket) -> Answer:
    """Read one message of either protocol. Raises EOFError when the peer closes, OSError as sockets do."""
    start = _exactly(sock, 6)
    if struct.unpack(">H", start[4:6])[0] == NEW:
        kind, serializer, flags, seq, size, extra, _, _, _ = struct.unpack(">BBHHII16sHH", _exactly(sock, 34))
    else:
        kind, flags, seq, size, serializer, extra, _, _ = struct.unpack(">HHHIHHHH", _exactly(sock, 18))
    annotations = _exactly(sock, extra)
    return Answer(kind, flags, serializer, seq, _exactly(sock, size), annotations)
