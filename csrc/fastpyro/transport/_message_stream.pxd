# Messages over a stream socket.

from libc.stdint cimport uint8_t, uint64_t

from fastpyro._posix cimport MSG_DONTWAIT, MSG_PEEK
from fastpyro.transport._attempt cimport FAILED, Attempt, Outcome, receive_once
from fastpyro.transport._intake cimport Intake
from fastpyro.protocol._message cimport Header, Message, Outgoing
from fastpyro.transport._output cimport OutputStream
from fastpyro.transport._stream cimport BUFFER_SIZE
from fastpyro.protocol._assembler cimport Assembler

cdef enum:
    SMALL_REPLY = 4096  # bytes of a payload that `take_small` copies, for callers that keep it on the stack


cdef class MessageStream(OutputStream):
    cdef Assembler assembler
    cdef uint64_t max_message_size
    cdef readonly bint ended  # the peer has closed, after a whole message
    cdef Intake intake  # who counts what has arrived of messages that are not whole, or None
    cdef readonly Py_ssize_t counted  # bytes of ours there
    cdef bint peeks  # what is looked for is part of something big, which is received into its place
    cdef bint reading  # some thread receives, or has been appointed to
    cdef unsigned long sender  # who has sent last; while `sending` is set, who sends

    cdef int check_unread(self) except -1
    cdef int notify(self, int kind, int seq) except -1
    cdef int send_message(self, Outgoing message, bint collect, double deadline) except -1
    cdef int send_whole(self, bytes message, double deadline) except -1
    cdef int send_bulk(self, Outgoing message, list payload, bytes extra, double deadline) except -1

    # Bytes to messages.
    cdef Message receive_message(self, double deadline)
    cdef bint take_small(self, Header *header, uint8_t *payload) except -1
    cdef Message next_buffered(self)
    cdef Message take_message(self)
    cdef int count_unfinished(self) except -1
    cdef Outcome receive_some(self, double deadline, bint wait) except FAILED
    cdef Message take_available(self, Header *header, uint8_t *payload, bint *small)

    # Who waits for many streams looks for the next bytes of the one that spoke last.
    cdef inline bint is_quiet(self) noexcept:
        # Nobody else reads, and what the peer said before has been taken.
        return not (self.closing or self.broken or self.reading or self.end > self.start)

    cdef int begin_spinning(self) except -1

    cdef inline Attempt try_receive(self) noexcept nogil:
        if self.peeks:
            return receive_once(self.fd, self.buffer, 1, MSG_DONTWAIT | MSG_PEEK)
        return receive_once(self.fd, self.buffer, BUFFER_SIZE, MSG_DONTWAIT)

    cdef int end_spinning(self, Outcome received, Py_ssize_t count) except -1
