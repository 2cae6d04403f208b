"""Many items of a stream in one payload: the answer to a pull. What a pull is, and who makes them, is in `item_pulls`.

An answer is an array of three: a state, an array of items, and an outcome. State 0: the stream goes on, and the
outcome is nil; 1: it has ended, and that is what the generator returned; 2: it has failed, and that is the exception.

Rule 1: an item is written as soon as the iterator gives it, before the iterator is entered again.
Rule 2: what is here already may be taken while the iterator is being waited for, by one thread, once. Whoever comes
        later finds `answered`, and keeps what the iterator gave in the end.
Rule 3: an item with big buffers is the last one: they are sent from where they are, and the iterator may use them
        again.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from fastpyro._byteorder cimport store32
from fastpyro._clock cimport monotonic
from fastpyro.serializers._codec cimport Codec
from fastpyro.serializers._encoder cimport Writer, parts_of

cdef enum:
    HEAD = 7  # code of an array of three, the state, code and 32-bit count of the array of items
    COUNT = 3  # where that count stands
    STATE = 1


cdef bytes NIL = b"\xc0"


@cython.final
cdef class ItemWriter:
    """The answer to a pull, in the making.

    Arguments: ``codec``, a ``Codec``.
    """

    def __cinit__(self, Codec codec not None):
        cdef Writer out = Writer.__new__(Writer)
        self.codec = codec
        self.out = out
        self.count = 0
        self.answered = self.writing = self.gathered = False
        self.payload = None
        self.began = 0
        out.collects = True
        out.reserve(HEAD)
        out.data[0] = 0x90 | 3
        out.data[STATE] = 0
        out.data[COUNT - 1] = 0xdd
        out.size = HEAD

    def gather(self, iterator, tuple kept, int most, Py_ssize_t size, int microseconds, bint ahead):
        """Add items until there are enough, or the answer was taken by another thread.

        Arguments: ``iterator``; ``kept``, None or a tuple with an item that comes before its next one; ``most`` items
        and ``size`` in bytes that are enough, and ``microseconds`` after which no further one is asked for; ``ahead``:
        the one that exceeds ``size`` is not added. Returns None, or a tuple with an item that the iterator gave and
        that is in no answer. Raises what the iterator raises, StopIteration at its end, and SerializeError for an item
        that cannot be sent; the items before are there then.
        """
        cdef Writer out = self.out
        cdef long long until
        self.began = monotonic()
        until = self.began + 1000 * <long long> microseconds
        try:
            if kept is not None:
                if not self.put(kept[0], size, ahead):
                    return kept
            while self.count < most and out.size < size and out.buffers is None:
                if self.count > 0 and monotonic() > until:
                    break
                item = next(iterator)
                if self.answered or not self.put(item, size, ahead):
                    return (item,)
            return None
        finally:
            self.gathered = True

    cdef int put(self, object value, Py_ssize_t size, bint ahead) except -1:
        """Write an item. 0 when it is too big to be sent ahead, and has not been added."""
        cdef Writer out = self.out
        cdef Py_ssize_t before = out.size
        self.writing = True
        try:
            self.codec.encoder.write(out, value, 1)
            if ahead and (out.size > size or out.buffers is not None):
                out.size = before
                out.buffers = None
                return 0
            self.count += 1
            return 1
        except BaseException:
            out.size = before
            out.buffers = None
            raise
        finally:
            self.writing = False

    def take_early(self, int microseconds):
        """Return the payload with the items so far, if there are some since so long; else None. From any thread."""
        if self.answered or self.gathered or self.writing or self.count == 0 or self.out.buffers is not None:
            return None
        if monotonic() - self.began < 1000 * <long long> microseconds:
            return None
        return self.seal(0, NIL)

    def finish(self, int state=0, bytes outcome not None=NIL):
        """End the answer, whose ``payload`` is there then. False, and nothing done, when another thread has taken it.

        Arguments: ``state``; ``outcome``, encoded.
        """
        if self.answered:
            return False
        self.payload = self.seal(state, outcome)
        return True

    def answer_with(self, payload):
        """Be the answer that was made before."""
        self.answered = True
        self.payload = payload

    cdef object seal(self, int state, bytes outcome):
        cdef Writer out = self.out
        self.answered = True
        out.data[STATE] = state
        store32(out.data + COUNT, <uint32_t> self.count)
        out.reserve(len(outcome))
        memcpy(out.data + out.size, PyBytes_AS_STRING(outcome), len(outcome))
        out.size += len(outcome)
        return out.take() if out.buffers is None else parts_of(out)
