"""A call that is being served, and how it is read: the first stage of its way (`_calls`). Nobody else reads calls.

A small one in our own format is read from where it was received, and needs no message. Everything else has come as a
message: in any format, alone or in a batch, compressed, with big arguments beside it, or as a blob.
"""

cimport cython
from libc.stdint cimport uint8_t

from fastpyro.protocol._message cimport Header, Message, message_of
from fastpyro.serializers._call_form cimport read_arguments_behind, read_member, read_size
from fastpyro.serializers._codec cimport Codec
from fastpyro.serializers._decoder cimport Reader
from fastpyro.server._connection cimport ConnectionCore
from fastpyro.values._memory_budget cimport last_excess, note_excess

from fastpyro import constants
from fastpyro.protocol._batch import decode_batch
from fastpyro.protocol.blobs import received_blob
from fastpyro.protocol.compression import payload_of
from fastpyro.protocol import peer_batches
from fastpyro.serializers.registry import native
from fastpyro.server import exposure
from fastpyro.transport.handshake import peer_serializer

cdef dict ATTRIBUTE_METHODS = exposure.ATTRIBUTE_METHODS
cdef str BATCH_METHOD = peer_batches.BATCH_METHOD
cdef int NATIVE = constants.NATIVE_SERIALIZER_ID, BATCH = constants.FLAGS_BATCH
cdef int COMPRESSED = constants.FLAGS_COMPRESSED, BLOB = constants.FLAGS_KEEPSERIALIZED


@cython.final
cdef class Request:
    """One call of a client, or one batch of calls: where it comes from, and what of it is known so far.

    Arguments: ``connection``; ``message``; ``may_run``, asked with this and the names of the object's members before
    any of them is used, or None.
    """

    def __init__(self, ConnectionCore connection not None, Message message not None, may_run=None):
        self.connection = connection
        self._message = message
        self.flags = message.flags
        self.serializer_id = message.serializer_id
        self.may_run = may_run

    @property
    def message(self):
        return self.kept()

    @property
    def args(self):
        return self.given()

    @property
    def kwargs(self):
        return {} if self.keywords is None else self.keywords

    cdef int receive(self, ConnectionCore connection, const Header *header, const uint8_t *payload) except -1:
        """Be a small call in our own format, until `let_go`."""
        self.connection = connection
        self.flags = header.flags
        self.serializer_id = NATIVE
        self.header = header
        self.payload = payload
        self.excess = self.reserved = 0
        return 0

    cdef int let_go(self) except -1:
        """Let go of everything: it may be another call then."""
        self.connection = None
        self._message = None
        self.object_id = self.method = self.target = None
        self.arguments = None
        self.keywords = None
        self.out = None
        self.has_room = self.is_passed = False
        self.header = NULL
        self.payload = NULL
        return 0

    cdef int outlive(self) except -1:
        """Go on without what was received, which will be somebody else's: a message stands for it from now on."""
        self.kept()
        self.header = NULL
        self.payload = NULL
        return 0

    cdef tuple given(self):
        """Return the arguments by position."""
        if self.arguments is None:
            return ()
        return self.arguments[1:] if self.has_room else self.arguments

    cdef Message kept(self):
        """Return the message, which is there for longer than what was received."""
        if self._message is None:
            self._message = message_of(self.header, self.payload)
        return self._message

    cdef int read_names(self, Codec codec, Reader *reader) except -1:
        """Read object and method of a small call."""
        codec.decoder.begin(reader, self.payload, self.header.payload_size)
        read_size(codec.decoder, reader, "call")
        self.object_id = read_member(codec.decoder, reader, "call")
        self.method = read_member(codec.decoder, reader, "call")
        return 0

    cdef int read_arguments(self, Codec codec, Reader *reader) except -1:
        """Read the rest of a small call."""
        self.arguments = read_arguments_behind(codec.decoder, reader)
        self.has_room = True
        self.keywords = codec.decoder.read_keywords(reader, 1)
        codec.decoder.finish(reader)
        self.excess = last_excess()
        return 0

    cdef int read_message(self, object held_memory) except -1:
        """Read any other call, or batch of calls."""
        cdef bint is_batch = self.flags & BATCH != 0
        if self.is_read:  # another thread has done that
            return 0
        message = self._message
        if is_batch:
            self.method = "<batch>"
        serializer = self.connection.serializer
        if serializer is None or serializer.serializer_id != self.serializer_id:
            self.is_unreadable = True
            client = self.connection
            serializer = peer_serializer(self.serializer_id, client.dialect, client.accepted, client.lacks)
            self.connection.serializer = serializer
            self.is_unreadable = False
        if is_batch:
            payload = payload_of(message)
            if serializer is native:
                self.object_id, self.calls = decode_batch(native.codec, payload)
            else:
                self.object_id, self.calls = peer_batches.read_batch(serializer.loads_call(payload))
            self.method = BATCH_METHOD
        elif self.flags & BLOB:
            blob, self.object_id, self.method = received_blob(message, self.connection.dialect)
            note_excess(0)
            self.arguments = (blob,)
        else:
            payload = payload_of(message) if self.flags & COMPRESSED else message.payload
            self.object_id, self.method, self.arguments, self.keywords = serializer.loads_call(payload, message.buffers)
        self.excess = last_excess()
        self.held = held_memory.hold(self.excess)
        self.is_special = is_batch or self.method in ATTRIBUTE_METHODS
        self.is_read = True
        return 0

    def used_names(self):
        """Return the names of those members of the object that a call that was read uses."""
        if self.calls is not None:
            return [name for name, _, _ in self.calls]
        return [self.arguments[0] if self.is_special and self.arguments else self.method]
