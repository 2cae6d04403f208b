"""What surrounds a call: who calls, and the annotations and correlation id that travel beside the arguments.

One `CallState` for each thread and context. That of `current_context` is found through a C thread-local pointer,
because every call needs it; the thread's own dict holds it, so that it ends with the thread.
Rule 1: the pointer counts only for the thread state that it was made for: C threads outlive their thread states.
Rule 2: `end` forgets everything: nothing of a request, or of its failure, reaches the next request of that thread.
Rule 3: a method that makes calls of its own keeps its context; only `response_annotations` shows the last reply's.
        The correlation id travels along with such nested calls, and so do the request's annotations, but for those of
        the protocols: whoever calls has no say in our handshakes, signatures and blobs.
"""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from fastpyro.protocol._message cimport Message
from fastpyro.protocol._time_limits cimport Scope, clock, current_scope, scopes_used

from fastpyro.errors import PyroError
from fastpyro import constants
from fastpyro.protocol import features

cdef unsigned int DEADLINES = features.DEADLINES
cdef int ONEWAY = constants.FLAGS_ONEWAY
cdef void *first_state = NULL  # of a thread

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #define FASTPYRO_THREAD __declspec(thread)
    #else
    #define FASTPYRO_THREAD __thread
    #endif
    static FASTPYRO_THREAD PyObject *fastpyro_state = NULL;
    static FASTPYRO_THREAD uint64_t fastpyro_state_owner = 0;
    """
    PyObject *fastpyro_state
    uint64_t fastpyro_state_owner

cdef extern from "Python.h":
    bint PyDict_CheckExact(object value) noexcept
    Py_ssize_t PyDict_GET_SIZE(object items) noexcept
    ctypedef struct PyThreadState:
        pass
    PyThreadState *PyThreadState_Get() noexcept
    uint64_t PyThreadState_GetID(PyThreadState *state) noexcept
    PyObject *PyThreadState_GetDict() noexcept


cdef frozenset PROTOCOL_ANNOTATIONS = frozenset({"BLBI", "CORR", "FAST", "FEAT", "HMAC", "STRM"})


@cython.final
@cython.no_gc_clear
cdef class CallState:
    def __cinit__(self):
        self.following = self.preceding = NULL
        self.end()

    def __dealloc__(self):
        global first_state
        if self.preceding != NULL:
            (<CallState> self.preceding).following = self.following
        elif first_state == <void *> self:
            first_state = self.following
        if self.following != NULL:
            (<CallState> self.following).preceding = self.preceding

    cdef int note_thread(self) except -1:
        """Be one of the threads' states."""
        global first_state
        self.following = first_state
        if first_state != NULL:
            (<CallState> first_state).preceding = <void *> self
        first_state = <void *> self
        return 0

    def cancel(self):
        """Note that nobody waits for the reply any more, and tell who wants to know. By any thread."""
        self.cancelled = True
        event, on_cancel = self.event, self.on_cancel  # before anybody is woken: then the state is the next call's
        if event is not None:
            event.set()
        if on_cancel is not None:
            on_cancel()

    cdef int begin(self, object connection, int seq, int flags, int serializer_id) except -1:
        self.connection = connection
        self.seq = seq
        self.flags = flags
        self.serializer_id = serializer_id
        self.serving = True
        return 0

    cdef int end(self) except -1:
        self.connection = None
        self.message = None
        self.seq = self.flags = self.serializer_id = 0
        self.serving = self.cancelled = False
        self.on_cancel = self.event = None
        self.deadline = 0
        self.annotations_made = None
        self.response = None
        self.response_received = False
        self.correlation = None
        return 0

    def copy(self):
        """Return a state that goes on when this one ends, as that of a call that is answered later."""
        cdef CallState copied = CallState()
        copied.begin(self.connection, self.seq, self.flags, self.serializer_id)
        copied.serving = self.serving
        copied.message = self.message
        copied.annotations_made = None if self.annotations_made is None else dict(self.annotations_made)
        copied.response = self.response
        copied.response_received = self.response_received
        copied.correlation = self.correlation
        copied.deadline = self.deadline
        copied.cancelled = self.cancelled
        return copied

    cdef bint plain(self) noexcept:
        # Emptiness decides: whoever only looked at the annotations has an empty dict, and sends nothing.
        if self.correlation is not None:
            return False
        if self.annotations_made is not None and PyDict_GET_SIZE(self.annotations_made) > 0:
            return False
        if self.message is None:
            return True
        return self.message.correlation_id is None and (
            self.annotations_made is not None or not self.message.has_annotations
        )

    cdef object correlation_here(self):
        # What there is, and nothing made for it.
        if self.correlation is None and self.message is not None:
            self.correlation = self.message.correlation_id
        if isinstance(self.correlation, bytes):
            import uuid

            self.correlation = uuid.UUID(bytes=self.correlation)
        return None if self.correlation is False else self.correlation

    cdef bint reply_plain(self) noexcept:
        return self.response is None or (PyDict_CheckExact(self.response) and PyDict_GET_SIZE(self.response) == 0)

    cdef int received_plain(self) except -1:
        # A reply came that had no annotations.
        if self.response is not None and (not self.serving or self.response_received):
            self.response = None
        return 0


cdef CallState current_state():
    if fastpyro_state != NULL and fastpyro_state_owner == PyThreadState_GetID(PyThreadState_Get()):
        return <CallState> fastpyro_state
    return find_state(current_context)


def cancel_running(connection, int seq=-1):
    """Mark the calls of a client that run in threads, but for this one. Returns whether there are any.

    Argument: ``seq``, the number of one of them; without it all are meant but the oneway ones.
    """
    cdef CallState own = current_state(), state
    cdef void *at = first_state
    cdef bint found = False
    while at != NULL:
        state = <CallState> at  # which stays in the list while we have it
        if state.serving and state.connection is connection and state is not own and (
            state.seq == seq if seq >= 0 else not state.flags & ONEWAY
        ):
            found = True
            state.cancel()
        at = state.following
    return found


cdef double limit_of(CallState state) except? -1:
    cdef Scope scope = current_scope() if scopes_used else None
    if scope is None:
        return state.deadline
    return scope.until if state.deadline == 0 or scope.until < state.deadline else state.deadline


def limit_within(double seconds, double horizon=0):
    """Return what ends a call of this thread first: the seconds that were given for it, and how the program said it.

    Arguments: ``seconds``, the limit of its proxy; ``horizon``, seconds from now within which others may end.
    """
    cdef CallState state = current_state()
    cdef Scope scope = current_scope() if scopes_used else None
    cdef double until = clock() + horizon
    if scope is not None and scope.until <= until and (state.deadline == 0 or scope.until <= state.deadline):
        return scope.seconds, "fastpyro.timeout"
    if state.deadline != 0 and state.deadline <= until:
        return max(state.deadline - clock(), 0), "the time that its caller has"
    return seconds, "_pyroTimeout"


cdef CallState find_state(object context):
    global fastpyro_state, fastpyro_state_owner
    cdef PyObject *thread_dict = PyThreadState_GetDict()
    cdef CallState state
    if thread_dict == NULL:
        raise MemoryError
    state = (<dict> thread_dict).get(context)
    if state is None:
        state = CallState()
        (<dict> thread_dict)[context] = state
        if context is current_context:
            state.note_thread()
    if context is current_context:
        fastpyro_state = <PyObject *> state
        fastpyro_state_owner = PyThreadState_GetID(PyThreadState_Get())
    return state


cdef class CallContext:
    """The call that this thread is in, and what it adds to calls of its own.

    Attributes: ``client`` (the Connection that calls, None outside a call), ``client_sock_addr``, ``seq``,
    ``msg_flags``, ``serializer_id``; ``annotations``, a dict of 4-character str to bytes: in a method those of the
    request, otherwise those to send with the next calls; ``response_annotations``: in a method those to send with the
    reply, on a client those of the last reply; ``correlation_id``, a uuid.UUID or None; in a method one that is made
    when it is asked for, if the client sent none.
    """

    cdef CallState state(self):
        return current_state() if self is current_context else find_state(self)

    @property
    def client(self):
        return self.state().connection

    @property
    def client_sock_addr(self):
        connection = self.state().connection
        return None if connection is None else connection.peer_address

    @property
    def seq(self):
        return self.state().seq

    @property
    def msg_flags(self):
        return self.state().flags

    @property
    def serializer_id(self):
        return self.state().serializer_id

    @property
    def annotations(self):
        cdef CallState state = self.state()
        if state.annotations_made is None:
            state.annotations_made = {} if state.message is None else dict(state.message.annotations)
        return state.annotations_made

    @annotations.setter
    def annotations(self, dict annotations not None):
        self.state().annotations_made = annotations

    @property
    def response_annotations(self):
        cdef CallState state = self.state()
        if state.response is None:
            state.response = {}
        return state.response

    @response_annotations.setter
    def response_annotations(self, annotations):
        cdef CallState state = self.state()
        state.response = annotations
        state.response_received = False

    @property
    def correlation_id(self):
        cdef CallState state = self.state()
        state.correlation_here()
        if state.correlation is None and state.serving:
            import uuid

            state.correlation = uuid.uuid4()
        return state.correlation_here()

    @correlation_id.setter
    def correlation_id(self, correlation_id):
        import uuid

        if correlation_id is not None and not isinstance(correlation_id, uuid.UUID):
            raise TypeError(f"a correlation id is a uuid.UUID or None, not {type(correlation_id).__name__}")
        cdef CallState state = self.state()
        state.correlation = False if correlation_id is None and state.serving else correlation_id

    @property
    def cancelled(self):
        """Whether nobody waits for the call that this method serves any more: the client gave it up, or has gone.

        A cheap question, for loops that take long. False outside a call.
        """
        cdef CallState state = self.state()
        return state.cancelled or (state.serving and state.deadline != 0 and clock() >= state.deadline)

    def wait_cancelled(self, timeout=None):
        """Wait until the call is cancelled. Returns whether it is.

        Argument: ``timeout``, seconds, None to wait as long as it takes. Waits no longer than the client does.
        """
        cdef CallState state = self.state()
        if state.event is None:
            import threading

            state.event = threading.Event()
        if not self.cancelled:
            left = max(state.deadline - clock(), 0) if state.serving and state.deadline != 0 else None
            state.event.wait(left if timeout is None else timeout if left is None else min(timeout, left))
        return self.cancelled

    @property
    def time_left(self):
        """Seconds until the calls that are made now have to be done, 0 when they are late; None without a limit.

        In a method the time that its client still waits, if it has said that; and what `fastpyro.timeout` leaves.
        """
        cdef double until = limit_of(self.state())
        return None if until == 0 else max(until - clock(), 0.0)

    def to_global(self):
        """Return the context as a dict, to hand it to another thread: also its limit of time."""
        cdef CallState state = self.state()
        return {
            "deadline": limit_of(state),
            "connection": state.connection,
            "message": state.message,
            "request": (state.seq, state.flags, state.serializer_id, state.serving),
            "annotations": dict(self.annotations),
            "response_annotations": dict(self.response_annotations),
            "correlation_id": self.correlation_id,
        }

    def from_global(self, values):
        """Take over what ``to_global`` returned in another thread."""
        cdef CallState state = self.state()
        state.connection = values["connection"]
        state.message = values["message"]
        state.deadline = values["deadline"]
        state.seq, state.flags, state.serializer_id, state.serving = values["request"]
        state.annotations_made = values["annotations"]
        state.response = values["response_annotations"]
        state.correlation = values["correlation_id"]

    def track_resource(self, resource):
        """Have ``resource.close()`` called when the calling client disconnects, unless the resource is gone before.

        Raises PyroError outside a call.
        """
        client = self.calling_client()
        client.tracked_resources.add(resource)
        if client.released:  # meanwhile: nobody will come by again
            client.close_resources()

    def untrack_resource(self, resource):
        """Undo ``track_resource``. Raises PyroError outside a call."""
        self.calling_client().tracked_resources.discard(resource)

    def current(self):
        """Return the state of this thread, which `replace` takes."""
        return self.state()

    def replace(self, CallState state not None):
        """Make a state this thread's. Returns the one that was, to be put back: coroutines take turns in one thread."""
        global fastpyro_state
        cdef CallState former = self.state()
        (<dict> PyThreadState_GetDict())[self] = state
        if self is current_context:
            fastpyro_state = <PyObject *> state
        return former

    cdef object calling_client(self):
        connection = self.state().connection
        if connection is None:
            raise PyroError("resources can only be tracked inside a remote call, for the client that makes it")
        return connection

    def request_annotations(self):
        """Return annotations and correlation id to send with a call; None where there are none."""
        cdef CallState state = self.state()
        if state.plain():
            return None, None
        correlation_id = state.correlation_here()
        annotations = self.annotations
        if state.message is not None and not PROTOCOL_ANNOTATIONS.isdisjoint(annotations):
            annotations = {key: value for key, value in annotations.items() if key not in PROTOCOL_ANNOTATIONS}
        return annotations or None, None if correlation_id is None else correlation_id.bytes

    def received(self, Message message not None):
        """Take in what came with a reply."""
        cdef CallState state = self.state()
        if message.has_annotations:
            state.response = message.annotations
            state.response_received = True
        else:
            state.received_plain()

    def received_nothing(self):
        """Note that a call was made that has no reply."""
        self.state().received_plain()

    def begin(self, connection, Message message not None):
        """Enter the context of a request."""
        cdef CallState state = self.state()
        state.begin(connection, message.seq, message.flags, message.serializer_id)
        state.message = message
        if message.deadline != 0 and connection.channel.features & DEADLINES:
            state.deadline = message.deadline

    def end(self):
        """Leave the context of a request."""
        self.state().end()

    def reply_annotations(self):
        """Return the annotations that the method wants to send with its reply."""
        cdef CallState state = self.state()
        return None if state.response_received else state.response or None


current_context = CallContext()
