# Messages over a stream socket.

from libc.stdint cimport uint8_t, uint64_t

from fastpyro.transport._intake cimport Intake
from fastpyro.protocol._message cimport Header, Message, Outgoing
from fastpyro.transport._output cimport OutputStream
from fastpyro.protocol._assembler cimport Assembler

cdef enum:
    SMALL_REPLY = 4096  # bytes of a payload that `take_small` copies, for callers that keep it on the stack


cdef class MessageStream(OutputStream):
    cdef Assembler assembler
    cdef uint64_t max_message_size
    cdef readonly bint ended  # the peer has closed, after a whole message
    cdef Intake intake  # who counts what has arrived of messages that are not whole, or None
    cdef readonly Py_ssize_t counted  # bytes of ours there
    cdef bint reading  # some thread receives, or has been appointed to
    cdef unsigned long sender  # who has sent last; while `sending` is set, who sends

    cdef int check_unread(self) except -1
    cdef int send_message(self, Outgoing message, bint collect, double deadline) except -1
    cdef int send_whole(self, bytes message, double deadline) except -1
    cdef int send_bulk(self, Outgoing message, list payload, bytes extra, double deadline) except -1

    # Bytes to messages.
    cdef Message receive_message(self, double deadline)
    cdef bint take_small(self, Header *header, uint8_t *payload) except -1
    cdef Message next_buffered(self)
    cdef Message take_message(self)
    cdef int count_unfinished(self) except -1
    cdef Py_ssize_t receive_some(self, double deadline, bint wait) except -2
