"""Many calls, or many results, in one payload. Sans-I/O.

A batch of calls is the form of `_call_form` whose method is "<batch>" and whose arguments are one element for each
call: an array of name, array of args, and map of kwargs or nil. Its results are an array; where a call failed, the
array's last element is an extension of code 13 that holds the exception.

Rule 1: calls are encoded when they are added; one that cannot be encoded leaves the batch as it was.
Rule 2: an array's head has 32 bits here, so that it can be filled in when the count is known.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from fastpyro._byteorder cimport load32, store32
from fastpyro.serializers._call_form cimport (
    read_arguments, read_name, read_names, write_arguments, write_name, write_names, write_vector,
)
from fastpyro.serializers._codec cimport Codec
from fastpyro.serializers._decoder cimport Reader, ValueDecoder, invalid, need
from fastpyro.serializers._encoder cimport Writer
from fastpyro.serializers._extensions cimport EXT_FAILED
from fastpyro.values._memory_budget cimport COST_CONTAINER, COST_SLOT, take_memory

from fastpyro.values.checked import is_kind, type_name
from fastpyro.errors import LocalProtocolError, MessageTooLargeError, SerializeError

cdef enum:
    FIRST_STEP = 1 << 20  # bytes of results of which is told who watches them
    HEAD = 5  # an array's code and its 32-bit count
    PART = 1 << 20  # bytes of results from which on the next ones are written elsewhere: these would be copied


cdef str BATCH = "<batch>"


cdef int write_array_head(uint8_t *at, Py_ssize_t count) except -1:
    if count > 0xFFFFFFFFLL:
        raise SerializeError(f"a batch of {count:,} calls exceeds the format's 4,294,967,295")
    at[0] = 0xdd
    store32(at + 1, <uint32_t> count)
    return 0


@cython.final
cdef class BatchWriter:
    """Calls that wait to be sent, encoded already.

    Arguments: ``codec``, a ``Codec``. Not to be used by two threads at once, nor by the objects that are being added:
    that raises LocalProtocolError.
    """

    def __cinit__(self, Codec codec not None):
        self.codec = codec
        self.adding = False
        self.clear()

    def __len__(self):
        return self.count

    def add(self, str method not None, tuple args not None, dict kwargs=None):
        """Queue a call. Raises SerializeError when an argument cannot be encoded; the batch is unchanged then."""
        cdef Writer out = self.calls
        cdef Py_ssize_t before = out.size
        self.check_free()
        self.adding = True
        try:
            write_name(self.codec.encoder, out, method)
            write_arguments(self.codec.encoder, out, args, kwargs, 2)
        except BaseException as error:
            out.size = before
            if type(error) is SerializeError:
                from fastpyro.values.refused_paths import located, of_call  # nobody needs it before that

                places = of_call(args, kwargs, f"calls[{self.count}].")
                raise located(error, places, self.codec.encoder.to_state, self.codec.encode) from error.__cause__
            raise
        finally:
            self.adding = False
        self.count += 1

    cdef int check_free(self) except -1:
        # Encoding runs the user's code, and a call that is half encoded is no call.
        if self.adding:
            raise LocalProtocolError("this batch is being added to, by another thread or by the object that is added")
        return 0

    cdef int add_vector(self, str method, PyObject **args, Py_ssize_t count, PyObject *names) except -1:
        # As `add`, for arguments that are in no tuple.
        cdef Writer out = self.calls
        cdef Py_ssize_t before = out.size
        self.check_free()
        self.adding = True
        try:
            write_name(self.codec.encoder, out, method)
            write_vector(self.codec.encoder, out, args, count, names, 2)
        except BaseException:
            out.size = before
            raise
        finally:
            self.adding = False
        self.count += 1
        return 0

    def detach(self):
        """Return a batch with the queued calls, and forget them here."""
        cdef BatchWriter detached = BatchWriter(self.codec)
        self.check_free()
        detached.calls, self.calls = self.calls, detached.calls
        detached.count, self.count = self.count, 0
        return detached

    def payload(self, str object_id not None):
        """Return the payload of a request that performs the queued calls on an object."""
        cdef Writer out = Writer.__new__(Writer)
        self.check_free()
        write_names(self.codec.encoder, out, object_id, BATCH)
        out.reserve(HEAD + self.calls.size)
        write_array_head(out.data + out.size, self.count)
        out.size += HEAD
        memcpy(out.data + out.size, self.calls.data, self.calls.size)
        out.size += self.calls.size
        out.put(0xc0)
        return out.take()

    def clear(self):
        """Forget the queued calls."""
        self.check_free()
        self.calls = Writer.__new__(Writer)
        self.count = 0

    def copy(self):
        """Return an independent batch with the same calls queued."""
        cdef BatchWriter copied = BatchWriter(self.codec)
        self.check_free()
        copied.calls.reserve(self.calls.size)
        memcpy(copied.calls.data, self.calls.data, self.calls.size)
        copied.calls.size = self.calls.size
        copied.count = self.count
        return copied


@cython.final
cdef class ResultWriter:
    """The results of a batch, in the making.

    Arguments: ``codec``, a ``Codec``; ``limit``, the bytes that they may have (0: as many as the format allows).
    """

    def __cinit__(self, Codec codec not None, Py_ssize_t limit=0):
        self.next_step = <Py_ssize_t> 0xFFFFFFFF
        self.on_growth = None
        self.codec = codec
        self.limit = limit if limit > 0 else <Py_ssize_t> 0xFFFFFFFF
        self.results = Writer.__new__(Writer)
        self.results.size = HEAD
        self.parts = []
        self.before = self.count = 0

    def __len__(self):
        return self.count

    @property
    def size(self):
        """How many bytes they have."""
        return self.before + self.results.size

    def watch(self, on_growth):
        """Call ``on_growth(bytes, count)`` when they have grown to 1 MiB, and whenever they are twice as large.

        It may raise an error, which ends the batch.
        """
        self.on_growth = on_growth
        self.next_step = FIRST_STEP

    cpdef add(self, value):
        """Append a result.

        Raises SerializeError when it cannot be encoded, MessageTooLargeError when the results would become too large;
        they are unchanged then.
        """
        cdef Py_ssize_t before = self.results.size
        try:
            self.codec.encoder.write(self.results, value, 1)
            if self.before + self.results.size > self.limit:
                raise MessageTooLargeError(too_large(self.count, self.limit))
            while self.before + self.results.size >= self.next_step:
                self.next_step *= 2
                self.on_growth(self.before + self.results.size, self.count + 1)
        except BaseException as error:
            self.results.size = before
            if type(error) is SerializeError:
                from fastpyro.values.refused_paths import located  # as above

                places = [(f"results[{self.count}]", value)]
                raise located(error, places, self.codec.encoder.to_state, self.codec.encode) from error.__cause__
            raise
        self.count += 1
        if self.results.size >= PART:
            self.before += self.results.size
            self.parts.append(self.results.take())

    def add_error(self, error):
        """Append the exception that ended the batch. Raises SerializeError when it cannot be encoded."""
        cdef Py_ssize_t before = self.results.size
        try:
            start = self.codec.encoder.begin_extension(self.results, EXT_FAILED)
            self.codec.encoder.write(self.results, error, 2)
            self.codec.encoder.end_extension(self.results, start)
        except BaseException:
            self.results.size = before
            raise
        self.count += 1

    def payload(self):
        """Return the payload of the reply: bytes, or a list of such, one after the other, where there is much."""
        if not self.parts:
            write_array_head(self.results.data, self.count)
            return self.results.take()
        write_array_head(<uint8_t *> PyBytes_AS_STRING(self.parts[0]), self.count)  # nobody else has it yet
        if self.results.size > 0:
            self.parts.append(self.results.take())
        parts, self.parts = self.parts, []
        return parts


def too_large(Py_ssize_t count, Py_ssize_t limit):
    """Return the text of the error that ends a batch at the call of that index."""
    return (
        f"with the result of call {count + 1:,} the results of this batch exceed {limit:,} bytes, the smaller one of "
        "MAX_BATCH_RESULTS and MAX_MESSAGE_SIZE; the calls before it were performed"
    )


def decode_batch(Codec codec not None, data):
    """Return ``(object id, [(method, args tuple, kwargs dict or None), …])`` of a batch. Raises SerializeError."""
    cdef Py_buffer view
    cdef ValueDecoder decoder = codec.decoder
    cdef Reader reader
    cdef Py_ssize_t count
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        decoder.begin_view(&reader, data, &view)
        object_id, method = read_names(decoder, &reader, "batch")
        if <str> method != BATCH:
            raise invalid("a batch has an object id and the method '<batch>'")
        count = decoder.read_count(&reader, 0x90, 0xdc)
        decoder.take_elements(&reader, count)
        calls = [read_call(decoder, &reader) for _ in range(count)]
        if decoder.read(&reader, 1) is not None:
            raise invalid("a batch has no keyword arguments of its own")
        decoder.finish(&reader)
        return object_id, calls
    finally:
        PyBuffer_Release(&view)


cdef tuple read_call(ValueDecoder decoder, Reader *reader):
    take_memory(&reader.budget, COST_CONTAINER + 3 * COST_SLOT)
    method = read_name(decoder, reader)
    args = read_arguments(decoder, reader, 2)
    return method, args, decoder.read_keywords(reader, 2)


def decode_results(Codec codec not None, data):
    """Return ``(list of results, exception that ended the batch or None)``. Raises SerializeError."""
    cdef Py_buffer view
    cdef ValueDecoder decoder = codec.decoder
    cdef Reader reader
    cdef Py_ssize_t count, index
    cdef list values = []
    error = None
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        decoder.begin_view(&reader, data, &view)
        count = decoder.read_count(&reader, 0x90, 0xdc)
        decoder.take_elements(&reader, count)
        for index in range(count):
            if index == count - 1 and is_failure(&reader):
                error = read_failure(decoder, &reader)
            else:
                values.append(decoder.read(&reader, 1))
        decoder.finish(&reader)
        return values, error
    finally:
        PyBuffer_Release(&view)


cdef bint is_failure(const Reader *reader) except -1:
    # An extension's code stands behind the size: 1 byte of it for 0xc7, 4 bytes for 0xc9.
    if reader.end - reader.at < 6:
        return False
    if reader.at[0] == 0xc7:
        return reader.at[2] == EXT_FAILED
    return reader.at[0] == 0xc9 and reader.at[5] == EXT_FAILED


cdef object read_failure(ValueDecoder decoder, Reader *reader):
    # Precondition: is_failure() has said so, and with it that 6 bytes are there.
    cdef bint short = reader.at[0] == 0xc7
    cdef Py_ssize_t size = reader.at[1] if short else load32(reader.at + 1)
    cdef const uint8_t *end
    reader.at += 3 if short else 6
    need(reader, size)
    end = reader.at + size
    error = decoder.read(reader, 2)
    if reader.at != end:
        raise invalid("the error that ended a batch is not as long as it claims")
    if not is_kind(error, BaseException):
        raise invalid(f"a batch ended with a {type_name(error)}, not with an exception")
    return error
