"""The fast path of a call on the client: the first branch of each stage of `session.Session`, in native code.

A call is ordinary when the connection is a native one, no annotations and no correlation id travel along, no retries
are asked for, and `_pyroInvoke` has not been replaced; its reply is ordinary when it is a plain result. What is not
goes on in `session`, from the stage where it is, and behaves the same. INVOKE is packed here, for both.
Rule 1: arguments are encoded before the link is entered: encoding runs the user's code, which may use the same proxy.
Rule 2: a reply is copied before it is decoded, because decoding may run the user's code as well.
Rule 3: a call begins and ends in one session, whatever becomes of the proxy meanwhile.
"""

from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint8_t

from fastpyro._byteorder cimport store16
from fastpyro.protocol._call_context cimport CallState, current_state, limit_of
from fastpyro.protocol._message cimport (
    HEADER_SIZE, NO_ANNOTATIONS, Header, Message, Outgoing, message_of, write_plain_header,
)
from fastpyro.protocol._time_limits cimport clock, code_of, scopes_used
from fastpyro.serializers._call_form cimport write_arguments, write_names, write_vector
from fastpyro.serializers._codec cimport Codec
from fastpyro.serializers._decoder cimport Reader
from fastpyro.serializers._encoder cimport Writer
from fastpyro.transport._link cimport Link
from fastpyro.transport._message_stream cimport SMALL_REPLY
from fastpyro.transport._stream cimport deadline_in

from fastpyro import constants
from fastpyro.errors import SerializeError, TimeoutError
from fastpyro.protocol import features
from fastpyro.protocol._call_context import limit_within

cdef int INVOKE = constants.MSG_INVOKE, RESULT = constants.MSG_RESULT, ONEWAY = constants.FLAGS_ONEWAY
cdef int NATIVE = constants.NATIVE_SERIALIZER_ID
cdef unsigned int DEADLINES = features.DEADLINES

cdef enum:
    TIME_LEFT = 36  # where a header has it

cdef type blob_class = None
cdef type oneway_class = None


def install(type only_argument not None, type names not None):
    """Say which classes are used here and made above.

    Arguments: ``only_argument``, a class that makes a call not ordinary when its only argument is of it;
    ``names``, of sets of the names of oneway methods.
    """
    global blob_class, oneway_class
    blob_class = only_argument
    oneway_class = names


def invocation(int flags, int serializer_id, payload, annotations=None):
    """Return the request of a call, without a number so far. Arguments as for ``Outgoing``."""
    return Outgoing(INVOKE, flags, 0, serializer_id, payload, annotations)


def name_timeout(error, what, SessionCore session not None, double seconds, limit=None):
    """Say in a timeout what was waited for.

    Arguments: ``error``, what an exchange raised; ``what``, a method or something like it; ``seconds``, the limit of
    the proxy; ``limit``, what `limit_within` said when the call began, None to ask it now.
    """
    if type(error) is TimeoutError:
        seconds, name = limit or limit_within(seconds)
        error.args = (f"{error} after {seconds:g} s: {what} of {session.uri} (the limit is {name})",)


def time_for(CallerCore caller not None, session=None, Outgoing request=None):
    """Return the seconds that an exchange may take now, 0 for no limit. Raises TimeoutError when there is no time left.

    Arguments: ``session``; ``request``, which is told what time its receiver has, if that one understands it.
    """
    cdef CallState state = current_state()
    cdef double until = limit_of(state) if scopes_used or state.deadline != 0 else 0
    cdef double left
    if until == 0:
        return caller._pyro_timeout
    left = until - clock()
    if left <= 0 and session is None:
        raise TimeoutError(f"connecting: timeout: the time is over (the limit is {limit_within(0)[1]})")
    if left <= 0:
        raise TimeoutError("nothing is sent: timeout")
    if request is not None and session.native and session.channel.features & DEADLINES:
        request.time_left = left
    return left if caller._pyro_timeout == 0 or left < caller._pyro_timeout else caller._pyro_timeout


cdef double bounded(CallState state, double deadline, Link link, uint8_t *head) except -1:
    """The same on the fast path: returns the deadline of the exchange whose proxy gives it that one."""
    cdef double until = limit_of(state), left
    if until == 0:
        return deadline
    left = until - clock()
    if left <= 0:
        raise TimeoutError("nothing is sent: timeout")
    if link.features & DEADLINES:
        store16(head + TIME_LEFT, code_of(left))
    return until if deadline == 0 or until < deadline else deadline


cdef class SessionCore:
    """One conversation with the daemon of an object.

    Arguments: see `session.Session`.
    """

    def __init__(self, channel, serializer, uri, str asked_for="", bint may_be_native=False):
        self.channel = channel
        self.serializer = serializer
        self.uri = uri
        self.object_id = uri.object
        self.native = serializer.serializer_id == NATIVE
        self.may_be_native = may_be_native
        self.asked_for = asked_for
        self.link = channel if isinstance(channel, Link) else None
        self.codec = serializer.codec if self.native else None

    def value_of(self, CallerCore caller not None, Message message not None, int seq, int serializer_id):
        """Return what the reply to a call holds, or raise the error that it holds.

        Arguments: ``caller``, whose call it is; ``seq`` and ``serializer_id`` of the request.
        """
        return value_in(self, caller, message, seq, serializer_id)


cdef class CallerCore:
    """Who makes calls: their settings, and the session that they are made in."""

    @property
    def _pyro_session(self):
        """The session, or None while there is no connection."""
        return self.session

    @_pyro_session.setter
    def _pyro_session(self, SessionCore session):
        self.session = session

    @property
    def _pyroConnection(self):
        """The channel, or None while there is no connection."""
        return None if self.session is None else self.session.channel

    @_pyroConnection.setter
    def _pyroConnection(self, connection):
        if connection is not None:
            raise TypeError("a proxy makes its connection itself; set it to None, or use _pyroRelease()")
        self.session = None

    @property
    def _pyroOneway(self):
        """The names of the remote methods that are called oneway."""
        if self.oneway is None:
            self.oneway = oneway_class()
        return self.oneway

    @_pyroOneway.setter
    def _pyroOneway(self, names):
        self.oneway = names

    def _pyro_next_seq(self, SessionCore session=None):
        """Return the number of the next request: one that no request under way in the session has."""
        return self.next_sequence_number(session)

    cdef int next_sequence_number(self, SessionCore session):
        cdef Link link = None if session is None else session.link
        self._pyroSeq = (self._pyroSeq + 1) & 0xFFFF
        if link is not None and link.is_shared():
            self._pyroSeq = link.free_sequence_number((self._pyroSeq - 1) & 0xFFFF)
        return self._pyroSeq

    def _pyro_submit(self, SessionCore session not None, str name not None, tuple args not None, dict kwargs, callback):
        """Send an ordinary call and have ``callback(message, error)`` called when its reply is here.

        Returns its sequence number, or None for a call off the fast path: nothing has been done then.
        """
        cdef Writer out
        cdef int seq
        cdef PyObject *first = PyTuple_GET_ITEM(args, 0) if len(args) == 1 else NULL
        cdef CallState state = current_state()
        if (
            session is not self.session or not is_fast(self, state, &first, PyTuple_GET_SIZE(args))
            or self._pyro_timeout or ((scopes_used or state.deadline != 0) and limit_of(state) != 0)
            or (self.oneway is not None and name in self.oneway)
        ):
            return None
        out = begin_call(session, name)
        write_arguments(session.codec.encoder, out, args, kwargs, 1)
        if out.buffers is not None:
            return None
        seq = self.next_sequence_number(session)
        finish_call(session, out, 0, seq)
        session.link.submit_small(out.data, out.size, seq, callback)
        session.codec.give_back(out)
        return seq


cdef bint is_fast(CallerCore caller, CallState state, PyObject **args, Py_ssize_t count) noexcept:
    cdef SessionCore session = caller.session
    return (
        session is not None and caller.plain_invoke and session.native and session.link is not None
        and session.link.usable()
        and caller._pyroMaxRetries == 0 and not caller._pyroRawWireResponse and state.plain()
        and not (count == 1 and type(<object> args[0]) is blob_class)
    )


cdef inline Writer begin_call(SessionCore session, str name):
    """Return a writer with room for a header and the names of a call; its arguments must follow."""
    cdef Writer out = session.codec.take_writer()
    out.collects = True
    out.reserve(HEADER_SIZE + 1)
    out.size = HEADER_SIZE
    write_names(session.codec.encoder, out, session.object_id, name)
    return out


cdef inline int finish_call(SessionCore session, Writer out, int flags, int seq) except -1:
    return write_plain_header(
        out.data, INVOKE, flags, seq, NATIVE, out.size - HEADER_SIZE, session.link.max_message_size
    )


cdef Writer begin_request(SessionCore session, str name):
    return begin_call(session, name)


cdef int finish_request(SessionCore session, Writer out, int flags, int seq) except -1:
    return finish_call(session, out, flags, seq)


cdef object call_fast(
    CallerCore caller, CallState state, str name, PyObject **args, Py_ssize_t count, PyObject *names
):
    cdef SessionCore session = caller.session
    cdef Link link = session.link
    cdef Writer out
    cdef Message message = None
    cdef Header header
    cdef uint8_t payload[SMALL_REPLY]
    cdef int seq, flags = ONEWAY if caller.oneway is not None and name in caller.oneway else 0
    cdef double deadline
    out = begin_call(session, name)
    try:
        write_vector(session.codec.encoder, out, args, count, names, 1)
    except SerializeError:  # the slow path says where the value stands
        positional, keywords = arguments_of(args, count, names)
        return caller._pyroInvoke(name, positional, keywords)
    if out.buffers is not None:  # big ones, which must not be copied: the slow path sends them from where they are
        positional, keywords = arguments_of(args, count, names)
        return caller._pyroInvoke(name, positional, keywords)
    seq = caller.next_sequence_number(session)
    finish_call(session, out, flags, seq)
    deadline = deadline_in(caller._pyro_timeout)
    link.enter()
    try:
        if scopes_used or state.deadline != 0:
            deadline = bounded(state, deadline, link, out.data)
        if flags:
            link.send_unawaited(out.data, out.size, deadline)
        else:
            message = link.converse_small(out.data, out.size, seq, &header, payload, deadline)
    except BaseException as error:
        if caller.session is not None and caller.session.link is link and not link.usable():
            caller._pyroRelease()
        name_timeout(error, name, session, caller._pyro_timeout)
        raise
    finally:
        link.leave()
    session.codec.give_back(out)
    if flags:
        state.received_plain()
        return None
    if message is None:
        if header.flags == 0 and header.kind == RESULT and header.serializer_id == NATIVE and header.seq == seq:
            state.received_plain()
            return decode_result(session.codec, payload, header.payload_size)
        message = message_of(&header, payload)
    return value_in(session, caller, message, seq, NATIVE)


cdef object value_in(SessionCore session, CallerCore caller, Message message, int seq, int serializer_id):
    if (
        message.flags == 0 and message.kind == RESULT and message.serializer_id == NATIVE and serializer_id == NATIVE
        and message.seq == seq and session.native and message.buffers is None and message._annotations is NO_ANNOTATIONS
        and not caller._pyroRawWireResponse
    ):
        current_state().received_plain()
        return session.codec.decode(message.payload)
    return session.value_beside(caller, message, seq, serializer_id)


cdef tuple arguments_of(PyObject **args, Py_ssize_t count, PyObject *names):
    cdef Py_ssize_t index
    cdef dict keywords = {}
    if names != NULL:
        for index in range(PyTuple_GET_SIZE(<object> names)):
            keywords[<object> PyTuple_GET_ITEM(<object> names, index)] = <object> args[count + index]
    return tuple([<object> args[index] for index in range(count)]), keywords


cdef object decode_result(Codec codec, const uint8_t *payload, Py_ssize_t size):
    cdef Reader reader
    codec.decoder.begin(&reader, payload, size)
    value = codec.decoder.read(&reader, 0)
    codec.decoder.finish(&reader)
    return value
