"""The way of a call on the server, of every call: decode, find, run, reply, send.

Each stage begins with its fast path, for what is small, in our own format and has nothing beside its values: such a
call is served from where it was received, and what it returns, if that is a plain value, is sent from where it was
encoded. Everything else comes as a message, and leaves as a `Reply`; in between it is the same way.

Rule 1: the object, the method and its arguments are looked up for each call, under `exposure`'s rules; only which names
        a class exposes is remembered, until `forget_classes`.
Rule 2: a method that gave a big reply is remembered as such; `big_replies`, where there is one, says whether another
        such call may begin, and hears when its reply has left or waits in its connection's queue.
Rule 3: a small call that shall not run now is handed on as a message. Nothing has been done then.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_REFCNT
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.stdint cimport uint8_t

from fastpyro.server._call_form cimport encode_result, is_awaitable, put_target
from fastpyro.server._connection cimport ConnectionCore
from fastpyro.server._cost cimport TURN, begin_turn, end_turn, is_long
from fastpyro.server._items cimport ItemWriter
from fastpyro.server._leader cimport ACCIDENT, MOST_SLOW, Leadership, LeaderWatch
from fastpyro.server._request cimport Request
from fastpyro.protocol._call_context cimport CallState, current_state
from fastpyro.serializers._codec cimport Codec
from fastpyro.serializers._decoder cimport Reader
from fastpyro.serializers._encoder cimport Writer
from fastpyro.transport._link cimport Link, Spinner
from fastpyro._clock cimport monotonic
from fastpyro.transport._stream cimport deadline_in
from fastpyro.protocol._message cimport Header, Message, message_of
from fastpyro.protocol._time_limits cimport clock, seconds_of
from fastpyro.values._memory_budget cimport note_excess
from fastpyro.transport._message_stream cimport SMALL_REPLY

import weakref

from fastpyro import constants
from fastpyro.protocol import features
from fastpyro.server import exposure
from fastpyro.server._batches import run_batch
from fastpyro.server.exposure import members_of, resolve_method
from fastpyro.server.replies import Postponed, failed, finished

cdef int INVOKE = constants.MSG_INVOKE, RESULT = constants.MSG_RESULT, ONEWAY = constants.FLAGS_ONEWAY
cdef int NATIVE = constants.NATIVE_SERIALIZER_ID
cdef unsigned int DEADLINES = features.DEADLINES
cdef object NOT_NOW = object()  # instead of a reply: the call has not begun
cdef object PASSED = object()  # and: another thread has it
cdef dict ATTRIBUTE_METHODS = exposure.ATTRIBUTE_METHODS
cdef str MAKING = ""  # stands for a method's name while an instance is made

cdef enum:
    BIG = 1 << 20  # bytes of a reply from which on its method is remembered as one with big replies

cdef extern from "Python.h":
    object PyObject_VectorcallMethod(object name, PyObject **arguments, size_t count, PyObject *names)
    PyObject **tuple_items "&PyTuple_GET_ITEM" (object items, Py_ssize_t index) noexcept
    bint PyIter_Check(object value) noexcept
    object PyObject_Call(object callable, tuple arguments, dict keywords)


@cython.final
cdef class CallServer(LeaderWatch):
    """Serves requests on the fast path of a server's connections.

    Arguments: ``server`` (asked to wake its monitor and to send other replies), ``service``, ``codec``.
    """

    def __cinit__(self, server, service, Codec codec not None):
        self.service = service
        self.codec = codec
        self.plain = True
        self.objects = None
        self.big_replies = None
        self.big = {}
        self.forget_classes()

    def use_fast_path(self, bint plain):
        """Serve the requests to come there, or all of them otherwise.

        Argument: ``plain``, whether replies are neither annotated by the daemon nor compressed.
        """
        self.plain = plain

    def forget_classes(self):
        """Look at classes and their methods anew."""
        self.methods = {}
        self.slow = {}
        self.big.clear()

    cpdef Message serve(self, ConnectionCore connection, Leadership leadership, double timeout, Spinner spinner=None):
        """Serve what has arrived on a connection, as long as it is ordinary and the leader still leads.

        Arguments: ``timeout``, seconds for sending a reply, 0 for no limit; ``spinner``, who looks for the next request
        of this connection, or None to return when there is none yet. Returns the first whole message that is not
        ordinary and None when there is none. Raises CommunicationError when the connection is broken.
        """
        cdef Link link = connection.link
        cdef Header header
        cdef uint8_t payload[SMALL_REPLY]
        cdef Message message
        cdef bint small = False
        cdef double until = 0
        while True:
            message = link.take_available(&header, payload, &small)
            if message is None and not small:
                return None
            connection.last_used = monotonic() * 1e-9
            if message is not None:
                return message
            if not connection.handshaken or not self.is_fast(&header):
                return message_of(&header, payload)
            if connection.home is not None and header.flags & ONEWAY and connection.oneway_apart:
                return message_of(&header, payload)  # another thread runs it
            if self.answer(connection, leadership, &header, payload, timeout):
                return message_of(&header, payload)
            if leadership.is_over() or connection.read_holds or connection.waits_turn or not link.usable():
                return None
            if not link.has_received():
                if spinner is None or self.ending or not spinner.spin_for(link):
                    return None
            elif until == 0:
                until = connection.last_used + TURN * 1e-6
            elif connection.last_used > until:
                self.server.next_turn(connection)
                return None

    def serve_ready(
        self, list ready not None, Py_ssize_t start, dict connections not None, Leadership leadership not None,
        double timeout, Spinner spinner=None,
    ):
        """Serve the connections whose descriptors are ready, as `serve` does, as long as nothing else is to be done.

        Arguments: ``ready``, descriptors, and the index ``start`` of the first one to serve; ``connections`` by their
        descriptors; the others as for `serve`. Returns the index of the first descriptor that needs more, the length of
        ``ready`` when none does; its connection if that has been served, else None; and the message and the error that
        came of serving it (any Exception). A descriptor that no connection has needs more, and so does a
        connection whose leader handed over. A connection that another thread has to serve is left alone: of those the
        one that has waited longest is the leadership's ``other`` then.
        """
        cdef ConnectionCore connection
        cdef Message message
        cdef Py_ssize_t index
        cdef bint others = len(ready) > 1
        cdef double now = monotonic() * 1e-9 if others else 0
        for index in range(start, len(ready)):
            found = connections.get(ready[index])
            if found is None:
                return index, None, None, None
            connection = found
            if connection.read_holds or connection.waits_turn:
                continue
            if not leadership.may_serve(connection):
                continue
            if connection.link is None:
                return index, None, None, None
            if others:
                begin_turn(&connection.turn, now)
            try:
                message = self.serve(connection, leadership, timeout, spinner)
            except Exception as error:  # it concerns this connection, whatever it is
                return index, connection, None, error
            if message is not None or leadership.is_over() or self.ending or connection.link.ended:
                return index, connection, message, None
            if others:
                now = end_turn(&connection.turn, connection.handshaken, False)
                if is_long(&connection.turn):  # what the others wait for is looked at anew
                    break
        return len(ready), None, None, None

    cdef bint is_fast(self, const Header *header) noexcept:
        return (
            header.kind == INVOKE and header.serializer_id == NATIVE and (header.flags & ~ONEWAY) == 0
            and self.plain and not self.jammed
        )

    cdef int answer(
        self, ConnectionCore connection, Leadership leadership, const Header *header, const uint8_t *payload,
        double timeout
    ) except -1:
        """Serve one small call in our own format. 1 when that is not for now; nothing has been done then."""
        cdef CallState state = current_state()
        cdef Request request = self.spare if self.spare is not None else Request.__new__(Request)
        cdef bint performed = False
        self.spare = None
        request.receive(connection, header, payload)
        self.begin(leadership, connection, header.flags)
        state.begin(connection, header.seq, header.flags, NATIVE)
        if header.time_left and connection.link.features & DEADLINES:
            state.deadline = clock() + seconds_of(header.time_left)
        try:
            reply = self.perform(request, leadership, state)
            if reply is NOT_NOW:
                return 1
            if reply is PASSED:
                return 0
            performed = True
            self.send(request, reply, timeout)
            return 0
        except KeyboardInterrupt as error:
            if performed:
                raise
            self.server.interrupted(connection, request.kept(), error)
            return 0
        finally:
            state.end()
            self.end(leadership)
            if request.reserved:
                self.big_replies.release(request.reserved)
            if Py_REFCNT(request) == 1:
                request.let_go()
                self.spare = request
            else:  # a coroutine has it
                request.outlive()

    def invoke(self, Request request not None):
        """Serve a call that came as a message. Returns the reply, or None where there is none yet, or none is wanted.

        Raises Postponed, and KeyboardInterrupt of the method.
        """
        reply = self.perform(request, None, current_state())
        return None if reply is NOT_NOW else reply

    # ---- the stages of a call: decode, find, run, reply, send

    cdef object perform(self, Request request, Leadership leadership, CallState state):
        """Go through all stages but the last. Returns the reply, None where none is to be sent, NOT_NOW or PASSED.

        Argument: ``leadership``, that of the leader who serves it, or None when others take note of what runs.
        """
        if self.objects is None:
            self.objects = self.service.objectsById
        try:
            if not self.decode(request):
                return PASSED if request.is_passed else NOT_NOW
            self.find(request, leadership)
            result = self.run(request, leadership)
        except KeyboardInterrupt:
            raise
        except Postponed:  # before anything was done
            if leadership is not None:
                return NOT_NOW
            raise
        except BaseException as error:
            if isinstance(error, SystemExit) and self.service.forked:
                raise  # a child that the method has forked
            return failed(self.service, request, error)
        return self.reply(request, result, state)

    cdef bint decode(self, Request request) except -1:
        """Read a call. False when it shall not run now; if it came as a message, somebody has taken it then."""
        cdef Reader reader
        cdef bint passed = request.is_read
        if request.payload == NULL:
            request.read_message(self.service.held_memory)
            names = request.used_names()
            if self.big_replies is not None and len(self.big) > 0 and not request.flags & ONEWAY:
                made_of = names if request.calls is None else [request.method, *names]
                self.big_replies.begin(request.kept(), self.kind_of(request.object_id), made_of)
            return passed or request.may_run is None or request.may_run(request, names)
        request.read_names(self.codec, &reader)
        name = <str> request.method
        if name.startswith("__"):
            return False
        if len(self.slow) > 0 and self.is_slow_call(request.connection, request.object_id, name):
            request.is_passed = self.server.pass_on(request.connection, request.kept(), request.object_id, name)
            return False
        if len(self.big) > 0 and not request.flags & ONEWAY and not self.reserve(request):
            return False
        request.read_arguments(self.codec, &reader)
        return True

    cdef int find(self, Request request, Leadership leadership) except -1:
        """Find the object, or have it made."""
        cdef ConnectionCore connection = request.connection
        target = self.objects.get(request.object_id)
        if isinstance(target, type) and leadership is not None and connection.home is leadership.home:
            request.target = connection.instances.get(target)  # an object of the session
            if request.target is not None:
                return 0
        if target is None or isinstance(target, (type, weakref.ref)):
            if leadership is not None and isinstance(target, type):
                leadership.kind, leadership.name = <PyObject *> target, <PyObject *> MAKING
            try:
                target = self.service.find_object(request.object_id, request.connection)
            finally:
                if leadership is not None:
                    leadership.name = NULL
        request.target = target
        return 0

    cdef object run(self, Request request, Leadership leadership):
        """Run the method, if it is exposed."""
        if request.is_special:
            return self.run_special(request)
        target = request.target
        name = request.method
        kind = type(target)
        names = self.methods.get(kind)
        if names is None:
            names = self.methods[kind] = members_of(kind, self.require_expose).methods
        method = None if name in names else resolve_method(target, name, self.require_expose)
        if leadership is None:
            method = getattr(target, name) if method is None else method
            return PyObject_Call(method, request.given(), request.keywords or {})
        leadership.kind, leadership.name = <PyObject *> kind, <PyObject *> name
        try:
            if method is not None:  # what an instance has of its own
                return PyObject_Call(method, request.given(), request.keywords or {})
            put_target(request.arguments, target)
            if request.keywords is None:
                return PyObject_VectorcallMethod(
                    name, tuple_items(request.arguments, 0), PyTuple_GET_SIZE(request.arguments), NULL
                )
            return PyObject_Call(getattr(target, name), request.given(), request.keywords)
        finally:
            leadership.name = NULL
            if leadership.is_over() and self.full and monotonic() - leadership.handed_over_at < ACCIDENT:
                self.slow.pop((kind, name), None)

    cdef object run_special(self, Request request):
        """Run the calls of a batch, or use an attribute."""
        if request.calls is not None:
            return run_batch(self.service, request, self.server.interrupted_batches)
        return ATTRIBUTE_METHODS[request.method](request.target, request.arguments, self.require_expose)

    cdef object reply(self, Request request, object result, CallState state):
        """Make the reply of a result. None when the request has it, ready to be sent, or none is wanted."""
        cdef Writer out
        cdef bint awaits
        cdef Link link = request.connection.link
        if request.payload != NULL:
            awaits = is_awaitable(result)
            if request.flags & ONEWAY and not awaits:
                return None
            if state.reply_plain() and not PyIter_Check(result) and not awaits and type(result) is not ItemWriter:
                out = self.codec.take_writer()
                if encode_result(self.codec, out, RESULT, request.header, result, link.max_message_size):
                    request.out = out
                    return None
        note_excess(request.excess)  # the method may have read other messages
        return finished(self.service, request, result)

    cdef int send(self, Request request, object reply, double timeout) except -1:
        """Send a reply, or begin what will have one."""
        cdef Writer out = request.out
        cdef Link link
        if out is None:
            if reply is not None:
                self.server.send_reply(request.connection, request.kept(), reply)
            return 0
        request.out = None
        link = request.connection.link
        link.enter()
        try:
            if out.size >= BIG:
                self.note_big(type(request.target), request.method, 2 * out.size, False)
                link.send_whole(out.take(), deadline_in(timeout))
            else:  # where another request is here the replies may leave together
                link.send_bytes(out.data, out.size, link.has_received(), deadline_in(timeout))
        finally:
            link.leave()
        self.codec.give_back(out)
        return 0

    # ---- which methods are slow, or have big replies

    def note_big(self, kind, str name not None, Py_ssize_t size, bint late):
        """Remember that a call had a big reply, `late`: after the call; ``size``, bytes that such a call takes."""
        if self.big_replies is not None and (len(self.big) < MOST_SLOW or (kind, name) in self.big):
            size = max(size, abs(self.big.get((kind, name), 0)) * 3 // 4)  # one that was smaller proves little
            self.big[kind, name] = -size if late else size

    cdef bint reserve(self, Request request) except -1:
        """Let a call begin whose reply may be big. False when it has to wait."""
        size = self.big.get((self.kind_of(request.object_id), request.method), 0)
        if size < 0 or (size > 0 and not self.big_replies.reserve(size)):
            return False
        request.reserved = size
        return True

    cdef bint is_slow_call(self, ConnectionCore connection, str object_id, str name) except -1:
        """Return whether a call is known to be slow, as far as that can be told without making an instance."""
        kind = self.kind_of(object_id)
        if (kind, name) in self.slow:
            return True
        return (
            (kind, MAKING) in self.slow
            and self.objects.get(object_id) is kind
            and not self.service.instances.has(kind, connection)
        )

    cdef type kind_of(self, object object_id):
        target = self.objects.get(object_id)
        if isinstance(target, weakref.ref):
            target = target()
        return target if isinstance(target, type) else type(target)
