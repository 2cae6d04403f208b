"""The native half of a server: the way of an ordinary request, and what the monitor needs to know about the leader.

A request is ordinary when it is a small call in the native codec with nothing beside its values; its reply is ordinary
when it is a plain result. Everything else goes the way that `dispatch` describes, and behaves the same.

Rule 1: the object, the method and its arguments are looked up for each call, under `exposure`'s rules; only which names
        a class exposes is remembered, until `forget_classes`.
Rule 2: `depose` and the end of a request are atomic under the GIL: a request either ends in office or is deposed.
Rule 3: a method that the monitor finds slow is known as slow from then on; while `full`, such methods wait,
        and the others run at once.
Rule 4: a method that gave a big reply is remembered as such; `big_replies`, where there is one, says whether another
        such call may begin, and hears when its reply has left or waits in its connection's queue.
Rule 5: the monitor reads three numbers without the GIL and takes it only to depose.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.stdint cimport uint8_t

from fastpyro.serializers._call_form cimport read_arguments_behind, read_names
from fastpyro.server._cost cimport STRANGER, TURN, begin_turn, end_turn, is_long
from fastpyro.server._call_form cimport encode_result, is_awaitable, put_target
from fastpyro.protocol._call_context cimport CallState, current_state
from fastpyro.serializers._codec cimport Codec
from fastpyro.serializers._decoder cimport Reader
from fastpyro.serializers._encoder cimport Writer
from fastpyro.transport._link cimport Link, Looker
from fastpyro._mutex cimport lead
from fastpyro._posix cimport usleep
from fastpyro.transport._spin cimport monotonic
from fastpyro.transport._stream cimport deadline_in
from fastpyro.protocol._message cimport Header, Message, message_of
from fastpyro.values._memory_budget cimport last_excess, note_excess
from fastpyro.transport._message_stream cimport SMALL_REPLY

import weakref

from fastpyro.server.exposure import members_of, resolve_method
from fastpyro import constants

cdef int INVOKE = constants.MSG_INVOKE, RESULT = constants.MSG_RESULT, ONEWAY = constants.FLAGS_ONEWAY
cdef int NATIVE = constants.NATIVE_SERIALIZER_ID
cdef str MAKING = ""  # stands for a method's name while an instance is made

cdef enum:
    TICK = 1000  # microseconds between two looks of the monitor: a request that is seen twice is slow
    IDLE_TICKS = 50  # looks without a request after which the monitor sleeps until one wakes it
    QUICK = 500000  # nanoseconds; a method known as slow that needs less is not slow any more
    ACCIDENT = 10000000  # nanoseconds; while the server is full, a method that goes on for no longer is not called slow
    MOST_SLOW = 10000  # names of methods that are remembered as slow
    BIG = 1 << 20  # bytes of a reply from which on its method is remembered as one with big replies

cdef extern from "Python.h":
    object PyObject_VectorcallMethod(object name, PyObject **arguments, size_t count, PyObject *names)
    PyObject **tuple_items "&PyTuple_GET_ITEM" (object items, Py_ssize_t index) noexcept
    bint PyIter_Check(object value) noexcept
    object PyObject_Call(object callable, tuple arguments, dict keywords)


cdef class ConnectionCore:
    """What serving an ordinary request needs of a client."""

    def __init__(self, channel, peer_address):
        self.channel = channel
        self.peer_address = peer_address
        self.fd = channel.fileno() if hasattr(channel, "fileno") else -1
        self.instances = {}
        self.last_used = self.turn.ended = monotonic() * 1e-9
        self.turn.cost = STRANGER

    @property
    def channel(self):
        return self._channel

    @channel.setter
    def channel(self, channel):
        self._channel = channel
        self.link = channel if isinstance(channel, Link) else None

    def begin_call(self):
        """Note that a request is being served; ``end_call`` must follow, in whichever thread."""
        self.in_call += 1

    def end_call(self):
        """Note that a request has been served."""
        self.in_call -= 1
        self.last_used = monotonic() * 1e-9

    def begin_turn(self):
        """Note that what came on this connection is served now; ``end_turn`` must follow, in this thread."""
        begin_turn(&self.turn, monotonic() * 1e-9)

    def end_turn(self, bint alone):
        """Note what serving took. Returns whether it lasted longer than a turn.

        Arguments: ``alone``, whether everybody waited for this thread, also while it slept.
        """
        end_turn(&self.turn, self.handshaken, alone)
        return is_long(&self.turn)

    @property
    def cost(self):
        """Seconds that its last turns cost; below 0 while nobody knows (`_order`)."""
        return self.turn.cost

    @property
    def took(self):
        """Seconds that the last one lasted, whoever had the processor meanwhile."""
        return self.turn.took

    def put_off(self):
        """Let it have its turns among those that take long. Returns False if it has them there already."""
        cdef bint is_quick = 0 <= self.turn.cost <= TURN * 1e-6
        if is_quick:
            self.turn.cost = 2 * TURN * 1e-6
        return is_quick


@cython.final
cdef class Term:
    def __cinit__(self):
        self.oneway = self.deposed = self.alone = self.urgent = self.noted_slow = self.noted_urgent = False
        self.kind = self.name = NULL


@cython.final
cdef class OrdinaryRequests:
    """Serves ordinary requests of a server's connections.

    Arguments: ``server`` (asked to wake its monitor and to send other replies), ``daemon``, ``codec``; ``plain``,
    whether replies have no annotations of the daemon's own.
    """

    def __cinit__(self, server, daemon, Codec codec not None, bint plain):
        self.server = server
        self.daemon = daemon
        self.codec = codec
        self.plain = plain
        self.require_expose = daemon.require_expose
        self.objects = None
        self.big_replies = None
        self.big = {}
        self.full = self.jammed = False
        self.serial = self.running = self.stopped = self.parked = 0
        self.forget_classes()

    def forget_classes(self):
        """Look at classes and their methods anew."""
        self.methods = {}
        self.slow = {}
        self.big.clear()

    def begin_request(self, Term term not None, ConnectionCore connection not None, int flags):
        """Note that the leader serves a request now; ``end_request`` must follow."""
        self.begin(term, connection, flags)

    def end_request(self, Term term not None):
        """Note that a request has been served."""
        cdef long long now
        if term.noted is not None:
            now = monotonic()
            if term.noted_slow:
                if now - term.noted_at < QUICK:
                    self.slow.pop(term.noted, None)
            elif term.deposed and self.full and now - term.deposed_at < ACCIDENT:
                self.slow.pop(term.noted, None)
            term.noted = None
        self.end(term)

    def note(self, Term term not None, type kind not None, str name not None, bint slow, bint urgent):
        """Note which method a request that is not ordinary runs, before it runs.

        Arguments: ``slow``, whether it is known to be; then it has to be quick to be known as quick again.
        """
        term.noted = kind, name
        term.noted_slow = slow
        term.noted_urgent = urgent
        term.noted_at = monotonic()

    def is_slow(self, kind, str name):
        """Return whether a method of a class is known to be slow. Argument: ``name``, empty for making an instance."""
        return (kind, name) in self.slow

    def depose(self, Term term not None, unsigned long serial, bint free_oneway):
        """Take the office from the leader that serves a request, and return the connection of that request.

        None when it serves none, or another one already. The leader may be done with its request when this returns.

        Arguments: ``serial``, which request, 0 for any; ``free_oneway``: a oneway request does not keep its connection.
        """
        cdef ConnectionCore connection = term.connection
        cdef tuple called = term.noted
        cdef bint urgent = called is not None and term.noted_urgent
        if connection is None or term.deposed or not (serial == 0 or serial == self.serial):
            return None
        if term.name != NULL:
            called = <object> term.kind, <object> term.name
        term.deposed_at = monotonic()
        term.deposed = True
        self.running = 0
        # Objects of a session are never called concurrently, a channel that takes one message at a time is not shared,
        # and nothing may overtake a handshake.
        if term.oneway:
            term.alone = not free_oneway or (connection.ordered and not connection.oneway_apart)
        else:
            term.alone = connection.ordered or connection.link is None or not connection.handshaken
        if term.alone:
            connection.held += 1
        # Last, because it may let other threads run.
        if term.name != NULL and called is not None:
            urgent = called[1] in members_of(called[0], self.require_expose).urgent
        term.urgent = urgent
        if serial != 0 and called is not None and len(self.slow) < MOST_SLOW:
            self.slow[called] = True
        return connection

    cdef int begin(self, Term term, ConnectionCore connection, int flags) except -1:
        term.leading = lead(False)
        connection.in_call += 1
        term.oneway = (flags & ONEWAY) != 0
        term.connection = connection
        self.serial += 1
        self.running = 1
        if self.parked:
            self.parked = 0
            self.server.wake_monitor()
        return 0

    cdef int end(self, Term term) except -1:
        if term.connection is not None:
            term.connection.in_call -= 1
            term.connection = None
        if not term.deposed:
            self.running = 0
            lead(term.leading)
        return 0

    def stop(self):
        """End `watch`."""
        self.stopped = 1

    def watch(self):
        """Watch the leader until a request is slow (returns its serial number), or there is none for a while (0)."""
        cdef unsigned long seen = 0
        cdef int idle = 0
        with nogil:
            while not self.stopped:
                usleep(TICK)
                if not self.running:
                    idle += 1
                    seen = 0
                    if idle >= IDLE_TICKS:
                        break
                    continue
                idle = 0
                if self.serial == seen:
                    break
                seen = self.serial
            else:
                seen = 0
        if self.running and seen == self.serial:
            return seen
        return 0

    def park(self):
        """Ask `begin_request` to wake the monitor. False when a request is being served already."""
        if self.running:
            return False
        self.parked = 1
        return True

    cpdef Message serve(self, ConnectionCore connection, Term term, double timeout, Looker looker=None):
        """Serve what has arrived on a connection, as long as it is ordinary and the leader stays in office.

        Arguments: ``timeout``, seconds for sending a reply, 0 for no limit; ``looker``, who looks for the next request
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
            if not connection.handshaken or not self.is_ordinary(&header):
                return message_of(&header, payload)
            if self.answer(connection, term, &header, payload, timeout):
                return message_of(&header, payload)
            if term.deposed or connection.held or not link.usable():
                return None
            if not link.has_received():
                if looker is None or self.stopped or not looker.look_at(link):
                    return None
            elif until == 0:
                until = connection.last_used + TURN * 1e-6
            elif connection.last_used > until:
                self.server.next_turn(connection)
                return None

    def serve_ready(
        self, list ready not None, Py_ssize_t start, dict connections not None, Term term not None, double timeout,
        Looker looker=None,
    ):
        """Serve the connections whose descriptors are ready, as `serve` does, as long as nothing else is to be done.

        Arguments: ``ready``, descriptors, and the index ``start`` of the first one to serve; ``connections`` by their
        descriptors; the others as for `serve`. Returns the index of the first descriptor that needs more, the length of
        ``ready`` when none does; its connection if that has been served, else None; and the message and the error that
        came of serving it (any Exception). A descriptor that no connection has needs more, and so does a
        connection whose leader was deposed.
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
            if connection.held or connection.waits_turn:
                continue
            if connection.link is None:
                return index, None, None, None
            if others:
                begin_turn(&connection.turn, now)
            try:
                message = self.serve(connection, term, timeout, looker)
            except Exception as error:  # it concerns this connection, whatever it is
                return index, connection, None, error
            if message is not None or term.deposed or self.stopped or connection.link.ended:
                return index, connection, message, None
            if others:
                now = end_turn(&connection.turn, connection.handshaken, False)
                if is_long(&connection.turn):  # what the others wait for is looked at anew
                    break
        return len(ready), None, None, None

    cdef bint is_ordinary(self, const Header *header) noexcept:
        return (
            header.kind == INVOKE and header.serializer_id == NATIVE and (header.flags & ~ONEWAY) == 0
            and self.plain and not self.jammed
        )

    cdef int answer(
        self, ConnectionCore connection, Term term, const Header *header, const uint8_t *payload, double timeout
    ) except -1:
        """Serve one ordinary request. 1 when it turns out not to be one; nothing has been done then."""
        cdef Writer out
        cdef Reader reader
        cdef CallState state = current_state()
        cdef Link link = connection.link
        cdef tuple arguments = None
        cdef dict kwargs = None
        cdef str name = None
        cdef bint awaits
        cdef Py_ssize_t reserved = 0
        cdef Py_ssize_t excess = 0
        target = reply = None
        if self.objects is None:
            self.objects = self.daemon.objectsById
        self.begin(term, connection, header.flags)
        state.begin(connection, header.seq, header.flags, NATIVE)
        try:
            try:
                self.codec.decoder.begin(&reader, payload, header.payload_size)
                object_id, name = read_names(self.codec.decoder, &reader, "call")
                if name.startswith("__") or (self.full and self.must_wait(connection, object_id, name)):
                    return 1
                if len(self.big) > 0 and not header.flags & ONEWAY:
                    reserved = self.big_size(object_id, name)
                    if reserved < 0 or (reserved > 0 and not self.big_replies.reserve(reserved)):
                        reserved = 0
                        return 1
                arguments = read_arguments_behind(self.codec.decoder, &reader)
                kwargs = self.codec.decoder.read_keywords(&reader, 1)
                self.codec.decoder.finish(&reader)
                excess = last_excess()
                target = self.find_target(term, object_id, connection)
                result = self.call(term, target, name, arguments, kwargs)
            except BaseException as error:
                called = target, name or "", () if arguments is None else arguments[1:], kwargs or {}
                reply = self.server.failed(connection, message_of(header, payload), called, error)
            else:
                awaits = is_awaitable(result)
                if header.flags & ONEWAY and not awaits:
                    return 0
                if state.reply_plain() and not PyIter_Check(result) and not awaits:
                    out = self.codec.take_writer()
                    if encode_result(self.codec, out, RESULT, header, result, link.max_message_size):
                        result = None  # what is big need not be there twice while it is sent
                        link.enter()
                        try:
                            if out.size >= BIG:
                                self.note_big(type(target), name, 2 * out.size, False)
                                link.send_whole(out.take(), deadline_in(timeout))
                            else:  # where another request is here the replies may leave together
                                link.send_bytes(out.data, out.size, link.has_received(), deadline_in(timeout))
                        finally:
                            link.leave()
                        self.codec.give_back(out)
                        return 0
                called = target, name, arguments[1:], kwargs or {}
                note_excess(excess)  # the method may have read other messages
                reply = self.server.finished(connection, message_of(header, payload), called, result)
            if reply is not None:
                self.server.send_reply(connection, message_of(header, payload), reply)
            return 0
        finally:
            state.end()
            self.end(term)
            if reserved:
                self.big_replies.release(reserved)

    def note_big(self, kind, str name not None, Py_ssize_t size, bint late):
        """Remember that a call had a big reply, `late`: after the call; ``size``, bytes that such a call takes."""
        if self.big_replies is not None and (len(self.big) < MOST_SLOW or (kind, name) in self.big):
            size = max(size, abs(self.big.get((kind, name), 0)) * 3 // 4)  # one that was smaller proves little
            self.big[kind, name] = -size if late else size

    cdef Py_ssize_t big_size(self, str object_id, str name) except? -1:
        size = self.big.get((self.kind_of(object_id), name))
        return 0 if size is None else size

    cdef bint must_wait(self, ConnectionCore connection, str object_id, str name) except -1:
        """Return whether a call is known to be slow, as far as that can be told without making an instance."""
        kind = self.kind_of(object_id)
        if (kind, name) in self.slow:
            return True
        return (
            (kind, MAKING) in self.slow
            and self.objects.get(object_id) is kind
            and not self.daemon.instances.has(kind, connection)
        )

    cdef type kind_of(self, str object_id):
        target = self.objects.get(object_id)
        if isinstance(target, weakref.ref):
            target = target()
        return target if isinstance(target, type) else type(target)

    cdef object find_target(self, Term term, str object_id, ConnectionCore connection):
        target = self.objects.get(object_id)
        if target is None or isinstance(target, (type, weakref.ref)):
            if isinstance(target, type):
                term.kind, term.name = <PyObject *> target, <PyObject *> MAKING
            try:
                return self.daemon.find_object(object_id, connection)
            finally:
                term.name = NULL
        return target

    cdef object call(self, Term term, object target, str name, tuple arguments, dict kwargs):
        # `arguments` has room for the object in front.
        cdef bint known_slow
        cdef long long began = 0
        kind = type(target)
        names = self.methods.get(kind)
        if names is None:
            names = self.methods[kind] = members_of(kind, self.require_expose).methods
        method = None if name in names else resolve_method(target, name, self.require_expose)
        known_slow = len(self.slow) > 0 and (kind, name) in self.slow
        term.kind, term.name = <PyObject *> kind, <PyObject *> name
        try:
            if known_slow:
                self.server.step_down(term)
                began = monotonic()
            if method is not None:  # what an instance has of its own
                return method(*arguments[1:], **(kwargs or {}))
            put_target(arguments, target)
            if kwargs is None:
                return PyObject_VectorcallMethod(name, tuple_items(arguments, 0), PyTuple_GET_SIZE(arguments), NULL)
            return PyObject_Call(getattr(target, name), arguments[1:], kwargs)
        finally:
            term.name = NULL
            if known_slow:
                if monotonic() - began < QUICK:
                    self.slow.pop((kind, name), None)
            elif term.deposed and self.full and monotonic() - term.deposed_at < ACCIDENT:
                self.slow.pop((kind, name), None)
