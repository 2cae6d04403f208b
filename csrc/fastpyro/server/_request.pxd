# A call that is being served, and how it is read.

from libc.stdint cimport uint8_t

from fastpyro.protocol._message cimport Header, Message
from fastpyro.serializers._codec cimport Codec
from fastpyro.serializers._decoder cimport Reader
from fastpyro.serializers._encoder cimport Writer
from fastpyro.server._connection cimport ConnectionCore


cdef class Request:
    cdef readonly ConnectionCore connection
    cdef readonly int flags, serializer_id
    # Of a small one in our own format, as long as whoever received it has it; else NULL, and there is a message.
    cdef const Header *header
    cdef const uint8_t *payload
    cdef Message _message
    cdef object may_run  # asked with this and the names before anything is used, or None
    cdef bint is_read
    cdef bint is_passed  # to another thread
    # What it calls, as far as that is known.
    cdef readonly object object_id, method
    cdef tuple arguments
    cdef bint has_room  # the first one is empty, for the object
    cdef dict keywords
    cdef readonly list calls  # those of a batch, or None
    cdef bint is_special  # a batch, or what stands for the use of an attribute
    cdef readonly bint is_unreadable  # in a format that is not accepted
    cdef public object target  # the object
    # What it takes.
    cdef object held
    cdef Py_ssize_t excess, reserved
    cdef Writer out  # its reply, ready to be sent

    cdef int receive(self, ConnectionCore connection, const Header *header, const uint8_t *payload) except -1
    cdef int read_names(self, Codec codec, Reader *reader) except -1
    cdef int read_arguments(self, Codec codec, Reader *reader) except -1
    cdef int read_message(self, object held_memory) except -1
    cdef int let_go(self) except -1
    cdef int outlive(self) except -1
    cdef tuple given(self)
    cdef Message kept(self)
