"""The exchanges of one connection on an event loop: requests leave together, replies are read when the loop says so.

Knows calls as `Call`, and the connection as a channel, whose descriptor the loop watches. No thread, and nothing waits.

Rule 1: all of it runs in the thread of the loop. What another thread wants, the loop is asked to do.
Rule 2: what the peer does not take waits in the channel's queue. While that is full, or too many calls are under way,
        further calls wait here, unencoded, in order.
Rule 3: small requests of one pass of the loop leave in one system call; a request leaves at once when nothing else is
        under way.
Rule 4: over a connection that is not a native one calls take turns.
Rule 5: who looks for a reply before he sleeps gives way to the loop after 100 microseconds, and whenever the loop shows
        that others are ready. Nobody looks in the loop's debug mode.
Rule 6: the channel is inside (`enter`) as long as the loop watches its descriptor, so that nobody else closes that.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from fastpyro.aio._call cimport GIVES_WAY, RAISED, SENT, SUSPENDED, WAITING, Call, Sender, Step
from fastpyro.aio._turns cimport LoopTurns
from fastpyro.client._session cimport CallerCore, SessionCore, begin_request, decode_result, finish_request, is_fast
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from fastpyro.protocol._call_context cimport CallState, current_state
from fastpyro.protocol._message cimport CANCEL, CANCELS, Header, Message, Outgoing, message_of
from fastpyro.serializers._call_form cimport write_arguments
from fastpyro.serializers._encoder cimport Writer
from fastpyro.transport._attempt cimport DONE as RECEIVED, FAILED, NOTHING_YET, Attempt, Outcome
from fastpyro.transport._link cimport Link
from fastpyro.transport._message_stream cimport SMALL_REPLY
from fastpyro._clock cimport monotonic
from fastpyro.transport._spin cimport begin_spin, end_spin, slept
from fastpyro.transport._stream cimport BUFFER_SIZE, lost as lost_error

import asyncio
import os
from collections import deque

from fastpyro import constants
from fastpyro.client.retries import not_begun
from fastpyro.client.session import Request
from fastpyro.protocol import features
from fastpyro.errors import CommunicationError, ConnectionClosedError, PyroError, RemoteProtocolError, SerializeError

cdef int RESULT = constants.MSG_RESULT, ONEWAY = constants.FLAGS_ONEWAY
cdef int NATIVE = constants.NATIVE_SERIALIZER_ID
cdef int DEADLINES = features.DEADLINES

cdef enum:
    MOST_UNSENT = 1 << 20  # bytes that wait for the peer, from which on calls wait
    MOST_UNDER_WAY = 32768  # of the 65,536 sequence numbers
    MOST_RECEIVES = 8  # in one pass of the loop, of big messages; the others have their turn then
    MOST_MESSAGES = 64  # in one pass, over the portable channel
    LONGEST_GATHERING = 500000  # nanoseconds that requests wait for those of other tasks

cdef object current_task = asyncio.current_task


cdef class Exchange(Sender):
    """Arguments: ``loop``, the running one; ``caller``, a connected proxy; ``turns``, of the loop."""

    def __cinit__(self):
        self.out = NULL

    def __init__(self, loop, CallerCore caller not None, LoopTurns turns not None):
        cdef SessionCore session = caller.session
        if session is None:
            raise ConnectionClosedError("the proxy was released meanwhile")
        self.loop = loop
        self.caller = caller
        self.turns = turns
        self.channel = session.channel
        self.link = session.link
        self.debug = loop.get_debug()
        self.pending = {}
        self.forgotten = set()
        self.waiting = deque()
        self.process = os.getpid()
        self.out = <uint8_t *> PyMem_Malloc(OUT_SIZE)
        if self.out == NULL:
            raise MemoryError
        if self.link is not None:
            self.link.enter()
            self.entered = True
        self.fd = self.channel.fileno()
        if self.fd < 0:
            raise ConnectionClosedError("the connection is closed")
        self.channel.set_outlet(self.note_unsent, 0, 0, 0)
        loop.add_reader(self.fd, self.on_readable)
        self.usable = True
        turns.exchanges.add(self)
        if self.channel.has_buffered:
            loop.call_soon(self.on_readable)

    def __dealloc__(self):
        PyMem_Free(self.out)

    @property
    def under_way(self):
        """How many calls wait for their replies."""
        return len(self.pending)

    @property
    def waits(self):
        """How many calls wait to be sent."""
        return len(self.waiting)

    # ---- sending

    cdef int begin(self, Call call) except -1:
        call.sender = self
        if self.waiting or not self.has_room():
            self.waiting.append(call)
            return 0
        return self.send(call)

    cdef Py_ssize_t unsent(self) except -1:
        return self.link.unsent if self.link is not None else self.channel.unsent

    cdef bint has_room(self) except -1:
        cdef Py_ssize_t under_way = len(self.pending) + len(self.forgotten)
        if under_way and not (self.caller.session is not None and self.caller.session.native):
            return False
        return under_way < MOST_UNDER_WAY and self.out_size + self.unsent() < MOST_UNSENT

    cdef int next_number(self) except -1:
        cdef int seq = self.caller.next_sequence_number(None)
        while seq in self.pending or seq in self.forgotten:
            seq = self.caller.next_sequence_number(None)
        return seq

    cdef int send(self, Call call) except -1:
        cdef SessionCore session = self.caller.session
        if session is None or session.channel is not self.channel or self.channel.closed:
            self.lost(ConnectionClosedError("the connection is closed"))
            call.again()
            return 0
        call.session = session
        try:
            if not self.send_small(call, session):
                self.send_slowly(call, session)
        except Exception as error:
            if self.pending.get(call.seq) is call:
                del self.pending[call.seq]
            if self.channel.closed:
                self.lost(error)
            elif isinstance(error, PyroError):
                not_begun(error)
            call.fail(error)
        return 0

    cdef bint send_small(self, Call call, SessionCore session) except -1:
        """Encode an ordinary call behind those that leave with it. False for a call that is none."""
        cdef Writer out
        cdef bint oneway
        cdef CallState state = current_state()
        cdef PyObject *first = PyTuple_GET_ITEM(call.args, 0) if len(call.args) == 1 else NULL
        if (
            call.batch is not None or call.object_id is not None or call.until != 0
            or not is_fast(self.caller, state, &first, PyTuple_GET_SIZE(call.args))
        ):
            return False
        out = begin_request(session, call.__name__)
        try:
            write_arguments(session.codec.encoder, out, call.args, call.kwargs, 1)
        except SerializeError:  # the slow way says where the value stands
            return False
        if out.buffers is not None or out.size > OUT_SIZE:
            return False
        oneway = self.caller.oneway is not None and call.__name__ in self.caller.oneway
        call.seq = self.next_number()
        call.serializer_id = NATIVE
        finish_request(session, out, ONEWAY if oneway else 0, call.seq)
        if self.out_size + out.size > OUT_SIZE:
            self.flush()
        memcpy(self.out + self.out_size, out.data, out.size)
        self.out_size += out.size
        session.codec.give_back(out)
        self.sent(call, oneway)
        return True

    cdef int send_slowly(self, Call call, SessionCore session) except -1:
        cdef Outgoing outgoing
        if call.batch is not None:
            outgoing = session.encode_batch(call.batch, call.oneway)
        else:
            keywords = {} if call.kwargs is None else call.kwargs
            request = Request(call.__name__, call.args, keywords, ONEWAY if call.oneway else 0, call.object_id)
            outgoing = session.encode(request, self.caller._pyroOneway)
        session.address(self.caller, outgoing)
        outgoing.seq = call.seq = self.next_number()
        call.serializer_id = outgoing.serializer_id
        if call.until != 0 and session.native and self.channel.features & DEADLINES:
            outgoing.time_left = call.time_left()
        self.flush()
        if self.link is not None:
            self.link.send_message(outgoing, False, 0)
        else:
            self.channel.send(outgoing)
        return self.sent(call, outgoing.flags & ONEWAY != 0)

    cdef int sent(self, Call call, bint oneway) except -1:
        cdef bint alone = len(self.pending) == 0
        call.state = SENT
        if not oneway:
            self.pending[call.seq] = call
            if alone and call.batch is None:
                return self.flush()
        if self.receiving:  # what is woken then leaves together, unless that takes long
            if monotonic() - self.woke_at > LONGEST_GATHERING:
                self.woke_at = monotonic()
                self.flush()
        elif self.out_size and not self.flush_planned:
            self.flush_planned = True
            self.loop.call_soon(self.on_flush)
        return call.finished(None, False) if oneway else 0

    def on_flush(self):
        """Send what this pass of the loop has collected."""
        self.flush_planned = False
        if self.usable:
            try:
                self.flush()
            except CommunicationError as error:
                self.lost(error)

    cdef int flush(self) except -1:
        cdef Py_ssize_t size = self.out_size
        if size == 0:
            return 0
        self.out_size = 0
        return self.link.send_bytes(self.out, size, False, 0)

    def note_unsent(self, _channel):
        """Told by the channel that the peer does not take everything."""
        if self.usable and not self.writing:
            self.writing = True
            self.loop.add_writer(self.fd, self.on_writable)

    def on_writable(self):
        """Send what waits for the peer."""
        if not self.usable:
            return
        try:
            self.channel.send_unsent(MOST_UNSENT)
            if self.unsent() == 0:
                self.writing = False
                self.loop.remove_writer(self.fd)
                self.drained()
            self.serve_waiting()
        except CommunicationError as error:
            self.lost(error)

    def drain(self):
        """Send what is collected; returns a future for when the peer has taken all, None when it has."""
        self.on_flush()
        if not self.usable or (self.unsent() == 0 and not self.waiting):
            return None
        if self.drain_future is None:
            self.drain_future = self.loop.create_future()
        return self.drain_future

    cdef int drained(self) except -1:
        future, self.drain_future = self.drain_future, None
        if future is not None and not future.done():
            future.set_result(None)
        return 0

    cdef int serve_waiting(self) except -1:
        cdef Call call
        while self.usable and self.waiting and self.has_room():
            call = self.waiting.popleft()
            if self.still_waits(call):
                self.send(call)
        return 0

    cdef bint still_waits(self, Call call) noexcept:
        # One that was given up may have another sender since, or wait here anew.
        return call.state == WAITING and call.sender is self

    cdef int withdraw(self, Call call) except -1:
        if self.pending.get(call.seq) is call:
            del self.pending[call.seq]
            self.forgotten.add(call.seq)
            return self.tell_peer(call.seq)
        self.unwanted += 1
        if self.unwanted * 2 > len(self.waiting):  # else each would cost a pass over all
            self.waiting = deque(dict.fromkeys([call for call in self.waiting if self.still_waits(call)]))
            self.unwanted = 0
        return 0

    cdef int tell_peer(self, int seq) except -1:
        """Called when nobody wants a reply any more that will come: the peer is told, behind its request."""
        if self.link is None or not self.usable or not self.link.features & CANCELS:
            return 0
        self.on_flush()
        return self.link.notify(CANCEL, seq)

    # ---- receiving

    def on_readable(self):
        """Read what has come, and tell whoever waits for it."""
        cdef bint direct
        if not self.usable:
            return
        direct = not self.debug and current_task(self.loop) is None
        self.receiving = True
        self.woke_at = monotonic()
        try:
            if self.link is not None:
                self.receive(direct)
            else:
                self.receive_portably(direct)
            if self.waiting:
                self.serve_waiting()
            if self.usable:
                self.flush()
        except Exception as error:
            self.lost(error)
        finally:
            self.receiving = False
            self.go_on_later()

    cdef int go_on_later(self) except -1:
        # What an interrupt has left, or a task that was woken. The loop knows of none of it.
        if self.usable and self.out_size and not self.flush_planned:
            self.flush_planned = True
            self.loop.call_soon(self.on_flush)
        if self.usable and self.link is not None and self.link.has_received():
            self.loop.call_soon(self.on_readable)
        return 0

    cdef int receive(self, bint direct) except -1:
        cdef Outcome outcome
        cdef bint full
        if self.slept_at:
            slept(&self.link.spin, monotonic() - self.slept_at)
            self.slept_at = 0
        for _ in range(MOST_RECEIVES):
            if self.link.has_received() or self.link.assembler.complete():
                outcome = RECEIVED
            else:
                outcome = self.link.receive_some(0, False)
            if outcome != RECEIVED:
                break
            full = self.link.end == BUFFER_SIZE or not self.link.assembler.idle()
            self.take_buffered(direct)
            if not self.usable or not full:
                break
        if self.usable:
            if self.link.ended:
                raise ConnectionClosedError("receiving: the peer closed the connection")
            if not self.link.has_received():
                self.link.release_buffer()
        return 0

    cdef int receive_portably(self, bint direct) except -1:
        for _ in range(MOST_MESSAGES):
            message = self.channel.receive_available()
            if message is None:
                return 0
            self.take(message, direct)
            if not self.usable:
                return 0
        self.loop.call_soon(self.on_readable)
        return 0

    cdef int take_buffered(self, bint direct) except -1:
        cdef Header header
        cdef uint8_t payload[SMALL_REPLY]
        cdef Message message
        while self.usable:
            if self.link.take_small(&header, payload):
                self.take_small(&header, payload, direct)
                continue
            message = self.link.next_buffered()
            if message is None:
                return 0
            self.take(message, direct)
        return 0

    cdef int take_small(self, Header *header, const uint8_t *payload, bint direct) except -1:
        cdef Call call
        if header.flags != 0 or header.kind != RESULT or header.serializer_id != NATIVE:
            return self.take(message_of(header, payload), direct)
        call = self.owner_of(header.seq)
        if call is None:
            return 0
        if call.batch is not None or call.serializer_id != NATIVE or self.caller._pyroRawWireResponse:
            return call.arrived(message_of(header, payload), direct)
        try:
            value = decode_result(call.session.codec, payload, header.payload_size)
        except Exception as error:
            return call.fail(error)
        current_state().received_plain()
        return call.finished(value, direct)

    cdef int take(self, Message message, bint direct) except -1:
        cdef Call call = self.owner_of(message.seq)
        return 0 if call is None else call.arrived(message, direct)

    cdef Call owner_of(self, int seq):
        """Return the call whose reply has come, None when nobody wants it."""
        cdef Call call = self.pending.pop(seq, None)
        if call is None:
            if seq not in self.forgotten:
                raise RemoteProtocolError(f"a reply came with sequence number {seq}, which nobody waits for")
            self.forgotten.discard(seq)
        return call

    cdef Step look(self, Call call) except RAISED:
        cdef Link link = self.link
        cdef Attempt received
        if (
            link is None or self.debug or self.out_size or len(self.pending) != 1 or link.has_received()
            or not link.assembler.idle() or link.unsent or link.spin.budget == 0 or self.turns.others_are_ready()
        ):
            return SUSPENDED
        if self.turns.is_over():
            return GIVES_WAY
        self.slept_at = monotonic()
        if not begin_spin(&link.spin):
            return SUSPENDED
        if not self.turns.planned:
            self.turns.planned = True
            self.turns.began = self.slept_at
            self.loop.call_soon(self.turns.pass_by)
        try:
            link.take_buffer()
            with nogil:
                received = link.spin_for_bytes(&link.spin, link.buffer, BUFFER_SIZE, 0)
            end_spin(&link.spin, received.outcome != NOTHING_YET)
            if received.outcome == FAILED:
                raise lost_error("receiving", received.failure)
            link.end = received.count
            if received.outcome == RECEIVED:
                self.slept_at = 0
                self.take_buffered(False)
                if self.waiting:
                    self.serve_waiting()
            if self.usable and not link.has_received():
                link.release_buffer()  # an end is met again by the loop
        except Exception as error:
            self.lost(error)
        return SUSPENDED

    # ---- the end

    def close(self):
        """End the conversation. Calls that are under way fail; those that wait are sent over another connection."""
        if self.usable and self.link is not None and not self.channel.closed:
            self.on_flush()  # calls that nobody waits for are among it
        self.lost(ConnectionClosedError("the connection is closed"))

    cdef int lost(self, object error) except -1:
        cdef dict pending = self.pending
        cdef Call call
        if not self.usable:
            return 0
        waiting, self.waiting = self.waiting, deque()
        self.pending = {}
        self.stop()
        if not isinstance(error, CommunicationError):
            error = ConnectionClosedError(f"the connection was lost: {error}")
        for call in pending.values():
            call.fail(type(error)(*error.args))
        for call in waiting:
            if self.still_waits(call):
                call.again()
        return 0

    cdef int stop(self) except -1:
        self.usable = False
        self.out_size = 0
        if not self.loop.is_closed():
            self.drained()
        self.turns.exchanges.discard(self)
        if self.process == os.getpid() and not self.loop.is_closed():
            self.loop.remove_reader(self.fd)
            self.loop.remove_writer(self.fd)
        if self.entered:
            self.entered = False
            self.link.leave()
        if self.caller.session is not None and self.caller.session.channel is self.channel:
            self.caller._pyroRelease()
        self.channel.close()
        return 0

    def abandon(self):
        """Let go of the connection in a forked child: loop and connection are the parent's."""
        if self.usable:
            self.usable = False
            self.pending = {}
            self.waiting.clear()
            if self.entered:
                self.entered = False
                self.link.leave()
            self.channel.abandon()
