"""The messages of protocol 48, Pyro4's, read and written as those of protocol 502. Sans-I/O.

All integers are big endian. Header of 24 bytes:

    offset size field
     0     4    tag b"PYRO"
     4     2    protocol version, 48
     6     2    message kind
     8     2    flags
    10     2    sequence number
    12     4    payload size, up to 0x7fffffff
    16     2    serializer id
    18     2    size of all annotations
    20     2    reserved
    22     2    checksum: the sum of kind, version, payload size, annotations size, serializer id, flags, sequence
                number and 0x34E9, modulo 65536
    24          annotations: 4 ASCII characters, 2 bytes length, value; then the payload

Kinds are those of protocol 502. Flags and serializer ids differ: `FLAGS` and `SERIALIZERS` translate, so that nobody
else has to know. The correlation id is the annotation CORR here. With a key, the annotation HMAC is an HMAC-SHA1 of the
payload and the values of the other annotations in the order of their keys.

Rule 1: received bytes are good, or give a RemoteProtocolError or a MessageTooLargeError, and nothing else.
Rule 2: nothing of a message is used before its HMAC has been verified, in constant time.
"""

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpyro._byteorder cimport load16, load32, store16, store32
from fastpyro.protocol._message cimport NO_ANNOTATIONS, Header, Message

from fastpyro import constants
from fastpyro.errors import (
    LocalProtocolError, MessageAuthenticationError, MessageTooLargeError, RemoteProtocolError,
)

cdef enum:
    CHECKSUM_SEED = 0x34E9
    MOST_ANNOTATION_BYTES = 0xFFFF
    DIGEST_SIZE = 20
    UNKNOWN_SERIALIZER = 255

cdef uint64_t PAYLOAD_LIMIT = 0x7FFFFFFF

# (flag in protocol 502, flag in protocol 48)
FLAGS = (
    (constants.FLAGS_EXCEPTION, 1),
    (constants.FLAGS_COMPRESSED, 2),
    (constants.FLAGS_ONEWAY, 4),
    (constants.FLAGS_BATCH, 8),
    (constants.FLAGS_META_ON_CONNECT, 16),
    (constants.FLAGS_ITEMSTREAMRESULT, 32),
    (constants.FLAGS_KEEPSERIALIZED, 64),
)

# (serializer id in protocol 502, or ours where it has none; serializer id in protocol 48)
SERIALIZERS = (
    (constants.SERPENT_ID, 1),
    (constants.JSON_ID, 2),
    (constants.MARSHAL_ID, 3),
    (constants.PICKLE_ID, 4),
    (constants.DILL_ID, 5),
    (constants.MSGPACK_ID, 6),
    (constants.CLOUDPICKLE_ID, 7),
    (constants.PING_SERIALIZER_ID, 42),
)

cdef dict FROM_PYRO4 = {theirs: ours for ours, theirs in SERIALIZERS}
cdef dict TO_PYRO4 = {ours: theirs for ours, theirs in SERIALIZERS}


cdef int translated(int flags, bint outward) except -1:
    cdef int result = 0
    for ours, theirs in FLAGS:
        if flags & <int> (ours if outward else theirs):
            result |= <int> (theirs if outward else ours)
    return result


cdef uint16_t checksum_of(const uint8_t *data) noexcept:
    cdef uint64_t total = CHECKSUM_SEED + PYRO4_VERSION
    total += load16(data + 6)
    total += load16(data + 8)
    total += load16(data + 10)
    total += load32(data + 12)
    total += load16(data + 16)
    total += load16(data + 18)
    return <uint16_t> (total & 0xFFFF)


cdef int read_pyro4_header(const uint8_t *data, Header *header, uint64_t limit) except -1:
    # Precondition: `data` has PYRO4_HEADER_SIZE bytes whose prefix has been checked.
    cdef uint64_t total
    if load16(data + 22) != checksum_of(data):
        raise RemoteProtocolError(
            f"header checksum mismatch: a message says 0x{load16(data + 22):04x}, its header gives "
            f"0x{checksum_of(data):04x}"
        )
    if load16(data + 6) > 255:
        raise RemoteProtocolError(f"there is no message kind {load16(data + 6)}")
    header.kind = <uint8_t> load16(data + 6)
    header.flags = <uint16_t> translated(load16(data + 8), False)
    header.seq = load16(data + 10)
    header.payload_size = load32(data + 12)
    header.serializer_id = <uint8_t> FROM_PYRO4.get(load16(data + 16), UNKNOWN_SERIALIZER)
    header.annotations_size = load16(data + 18)
    header.has_correlation = False
    header.time_left = 0
    memset(header.correlation_id, 0, 16)
    if header.payload_size > PAYLOAD_LIMIT:
        raise RemoteProtocolError(f"invalid message size {header.payload_size:,} (outside range 0..2Gb)")
    total = <uint64_t> header.payload_size + header.annotations_size
    if total > limit:
        raise MessageTooLargeError(f"received message of {total:,} bytes exceeds MAX_MESSAGE_SIZE {limit:,}")
    return 0


cdef dict unpack_pyro4_annotations(bytes data):
    cdef const uint8_t *bytes_ = <const uint8_t *> PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), at = 0, length
    cdef dict annotations = {}
    while at < size:
        if size - at < 6:
            raise RemoteProtocolError(
                f"annotations end in the middle of a chunk: {size - at} bytes left, a chunk has 6 or more"
            )
        length = load16(bytes_ + at + 4)
        if length > size - at - 6:
            raise RemoteProtocolError(f"an annotation claims {length:,} bytes, but {size - at - 6:,} are left")
        try:
            key = data[at:at + 4].decode("ascii")
        except UnicodeDecodeError:
            raise RemoteProtocolError(
                f"an annotation key is 4 ASCII characters, not {data[at:at + 4]!r}"
            ) from None
        if key in annotations:
            raise RemoteProtocolError(f"annotation {key!r} is there twice")
        annotations[key] = data[at + 6:at + 6 + length]
        at += 6 + length
    return annotations


cdef bytes digest_of(bytes key, object payload, dict annotations):
    import hmac

    digest = hmac.new(key, payload, "sha1")
    for name in sorted(annotations):
        if name != "HMAC":
            digest.update(annotations[name])
    return digest.digest()


cdef int finish_pyro4_message(Message message, bytes hmac_key) except -1:
    cdef dict annotations = message._annotations
    if hmac_key is not None or "HMAC" in annotations:
        verify(message.payload, annotations, hmac_key)
    if annotations is NO_ANNOTATIONS:
        return 0
    annotations.pop("HMAC", None)
    correlation = annotations.pop("CORR", None)
    if correlation is not None and len(correlation) == 16:
        message.correlation_id = correlation
    if not annotations:
        message._annotations = NO_ANNOTATIONS
    return 0


cdef int verify(bytes payload, dict annotations, bytes hmac_key) except -1:
    import hmac

    if hmac_key is None or "HMAC" not in annotations:
        raise MessageAuthenticationError("hmac key config not symmetric: only one side has a key")
    if not hmac.compare_digest(annotations["HMAC"], digest_of(hmac_key, payload, annotations)):
        raise MessageAuthenticationError("message hmac mismatch: the peer has another key, or the message was changed")
    return 0


cdef bytes pack_pyro4(Outgoing message, bytes hmac_key, uint64_t limit):
    cdef dict chunks = dict(message.annotations) if message.annotations else {}
    cdef Py_buffer view
    cdef bytes extra, result
    cdef uint8_t *out
    theirs = TO_PYRO4.get(message.serializer_id)
    if theirs is None or not (0 <= message.kind <= 255 and 0 <= message.seq <= 0xFFFF):
        raise LocalProtocolError(
            f"a message of kind {message.kind} and serializer id {message.serializer_id} has no form in protocol 48"
        )
    if message.correlation_id is not None:
        chunks["CORR"] = message.correlation_id
    PyObject_GetBuffer(message.payload, &view, PyBUF_SIMPLE)
    try:
        if hmac_key is not None:
            chunks = {key: value for key, value in chunks.items() if key != "HMAC"}
            chunks["HMAC"] = digest_of(hmac_key, message.payload, chunks)
        extra = pack_pyro4_annotations(chunks)
        if <uint64_t> view.len > PAYLOAD_LIMIT or <uint64_t> (view.len + len(extra)) > limit:
            raise MessageTooLargeError(
                f"message of {view.len + len(extra):,} bytes exceeds MAX_MESSAGE_SIZE {min(limit, PAYLOAD_LIMIT):,}; "
                "nothing was sent"
            )
        result = PyBytes_FromStringAndSize(NULL, PYRO4_HEADER_SIZE + len(extra) + view.len)
        out = <uint8_t *> PyBytes_AS_STRING(result)
        memcpy(out, b"PYRO", 4)
        store16(out + 4, PYRO4_VERSION)
        store16(out + 6, <uint16_t> message.kind)
        store16(out + 8, <uint16_t> translated(message.flags, True))
        store16(out + 10, <uint16_t> message.seq)
        store32(out + 12, <uint32_t> view.len)
        store16(out + 16, <uint16_t> theirs)
        store16(out + 18, <uint16_t> len(extra))
        store16(out + 20, 0)
        store16(out + 22, checksum_of(out))
        memcpy(out + PYRO4_HEADER_SIZE, PyBytes_AS_STRING(extra), len(extra))
        if view.len:
            memcpy(out + PYRO4_HEADER_SIZE + len(extra), view.buf, view.len)
        return result
    finally:
        PyBuffer_Release(&view)


cdef bytes pack_pyro4_annotations(dict annotations):
    """Lay out annotations; keys are 4 ASCII characters, values bytes-like; 65,535 bytes in all."""
    cdef list parts = []
    cdef Py_ssize_t total = 0
    cdef uint8_t size[2]
    for key, value in annotations.items():
        if not (isinstance(key, str) and len(key) == 4 and key.isascii()):
            raise LocalProtocolError(f"an annotation key is 4 ASCII characters, not {key!r}")
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise LocalProtocolError(
                f"annotation {key} must be bytes, bytearray or memoryview, not {type(value).__name__}"
            )
        data = bytes(value)
        total += 6 + len(data)
        if total > MOST_ANNOTATION_BYTES:
            raise MessageTooLargeError(
                f"annotations of more than {MOST_ANNOTATION_BYTES:,} bytes do not fit into a message of protocol 48"
            )
        store16(size, <uint16_t> len(data))
        parts.append(key.encode("ascii"))
        parts.append(PyBytes_FromStringAndSize(<char *> size, 2))
        parts.append(data)
    return b"".join(parts)


def pack_pyro4_message(
    int kind, int flags, int seq, int serializer_id, payload, annotations=None, correlation_id=None,
    bytes hmac_key=None, max_message_size=0,
):
    """Lay out one whole message of protocol 48.

    Arguments: the header's fields in the numbers of protocol 502; ``payload`` bytes-like; ``annotations`` a dict of
    4-character str to bytes-like, or None; ``correlation_id`` 16 bytes or None; ``hmac_key`` or None;
    ``max_message_size`` in bytes, 0 for the format's 2 GiB. Returns the message as bytes.
    Raises LocalProtocolError for what the protocol cannot express, MessageTooLargeError beyond its limits.
    """
    return pyro4_bytes_of(
        Outgoing(kind, flags, seq, serializer_id, payload, annotations, correlation_id), hmac_key, max_message_size
    )


def pyro4_bytes_of(Outgoing message not None, bytes hmac_key=None, max_message_size=0):
    """Return a message that is ready to leave as bytes of protocol 48; see ``pack_pyro4_message``."""
    return pack_pyro4(message, hmac_key, max_message_size or PAYLOAD_LIMIT + MOST_ANNOTATION_BYTES)
