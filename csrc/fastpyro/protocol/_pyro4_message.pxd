# Messages of protocol 48, in the numbers of protocol 502.

from libc.stdint cimport uint8_t, uint64_t

from fastpyro.protocol._message cimport Header, Message, Outgoing

cdef enum:
    PYRO4_VERSION = 48
    PYRO4_HEADER_SIZE = 24


cdef int read_pyro4_header(const uint8_t *data, Header *header, uint64_t limit) except -1

cdef dict unpack_pyro4_annotations(bytes data)

# Verify a message that has been put together, and take out of its annotations what protocol 502 has elsewhere.
cdef int finish_pyro4_message(Message message, bytes hmac_key) except -1

cdef bytes pack_pyro4(Outgoing message, bytes hmac_key, uint64_t limit)
