"""One connection and the exchanges over it, many at a time: who sends, who reads, who waits for which reply.

Knows messages and their sequence numbers; knows no objects, methods or serializers.

Rule 1: threads may exchange messages at once. Each sends its own; one of them, the reader, receives, and hands replies
        to the others by their sequence numbers. A thread that is alone reads its own reply: no lock, no other thread.
Rule 2: nobody is the reader while it waits to send: a peer that waits for us to read would never read from us.
Rule 3: an operation that fails in the middle of a message leaves the link broken, for everybody. One that times out
        between messages breaks it too when it is alone; otherwise its reply is dropped when it comes.
Rule 4: `reading`, `pending` and `forgotten` change under the GIL only, never across a system call.
Rule 5: a thread never waits for itself. A destructor or a signal handler may run wherever memory is allocated or a
        wait is interrupted; while its thread receives (`receiver`) it cannot exchange messages, and nobody appoints a
        waiter whose thread is in a signal handler. What a callback raises keeps nobody from his reply.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock
from cpython.pythread cimport PyThread_get_thread_ident, PyThread_release_lock
from libc.stdint cimport uint8_t

from fastpyro.protocol._message cimport CANCEL, CANCELS, Header, Message, Outgoing, message_of
from fastpyro._mutex cimport ensure_may_wait
from fastpyro.transport._message_stream cimport SMALL_REPLY, MessageStream
from fastpyro.transport._cork cimport push_now
from fastpyro._clock cimport monotonic
from fastpyro.transport._stream cimport PY_LOCK_INTR, PyLockStatus, PyThread_acquire_lock_timed, deadline_of

from fastpyro.errors import CommunicationError, ConnectionClosedError, LocalProtocolError
from fastpyro.errors import RemoteProtocolError, TimeoutError

cdef enum:
    CROWD = 16  # submitted exchanges under way, from which on the next one may wait a moment for company
    LONGEST_WAIT = 1000000000  # microseconds; a longer wait for one's turn is cut into several


cdef inline unsigned long this_thread() noexcept:
    return <unsigned long> PyThread_get_thread_ident()


@cython.final
cdef class Waiter:
    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError
        PyThread_acquire_lock(self.lock, NOWAIT_LOCK)
        self.waiting = self.must_read = False

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_release_lock(self.lock)
            PyThread_free_lock(self.lock)

    cdef int wake(self) noexcept:
        if self.waiting:
            self.waiting = False
            PyThread_release_lock(self.lock)
        return 0


@cython.final
cdef class Delivery:
    """Hands a message to a callback, once; also when nobody can tell whether the thread for it was started."""

    def __call__(self):
        callback, self.callback = self.callback, None
        if callback is not None:
            call_back(callback, self.message, None)


cdef int call_back(object callback, object message, object error) except -1:
    try:
        callback(message, error)
    except BaseException as failure:  # an interrupt: whoever waits for the callback must not wait for ever
        callback(None, failure)
        raise
    return 0


cdef class Spinner:
    cdef bint spin_for(self, Link last) except -1:
        """Look whether bytes come soon; True when they are in the link's buffer. This one never looks."""
        return False


cdef class Link(MessageStream):
    """A connected stream socket over which many exchanges of messages are under way at a time.

    Arguments: ``sock``, a connected Python socket, which the link switches to blocking mode and from then on owns;
    ``max_message_size``, the limit for annotations and payload in bytes (0: the format's 4 GiB).
    """

    def __cinit__(self, sock, max_message_size=0):
        self.reader = self.receiver = 0
        self.awaited = -1
        self.callbacks = 0

    def set_background(self, run):
        """Say how to run a function without arguments in another thread: ``run(function)``. Needed for ``submit``."""
        self.background = run

    def free_sequence_number(self, int seq):
        """Return the next sequence number after ``seq`` that no exchange under way has."""
        seq = (seq + 1) & 0xFFFF
        if len(self.pending or ()) + len(self.forgotten or ()) >= 0xFFFF:
            raise LocalProtocolError("65,535 calls are under way on this connection; wait for some, or use two proxies")
        while (
            (self.reading and seq == self.awaited) or (self.pending and seq in self.pending)
            or (self.forgotten and seq in self.forgotten)
        ):
            seq = (seq + 1) & 0xFFFF
        return seq

    def exchange(self, Outgoing message not None, timeout=None):
        """Send one message and wait for the one in answer: the one that has its sequence number.

        Arguments: ``message``; ``timeout``, seconds for the whole exchange, None or 0 for no limit. Returns the Message
        that came back. Several threads may exchange at once, with different numbers.
        Raises LocalProtocolError or MessageTooLargeError before anything is sent (the link stays usable), otherwise
        TimeoutError, ConnectionClosedError or RemoteProtocolError, after which the link is closed - but for a timeout
        while other exchanges are under way.
        """
        cdef double deadline = deadline_of(timeout)
        self.enter()
        try:
            ensure_may_wait(self.served_by)
            return self.reply_for(message.seq, self.send_awaited(message, deadline), deadline, NULL, NULL)
        finally:
            self.leave()

    def begin(self, Outgoing message not None, timeout=None):
        """Send one message as `exchange` does, and return; `finish` waits for the one in answer."""
        self.enter()
        try:
            return self.send_awaited(message, deadline_of(timeout))
        finally:
            self.leave()

    cdef Waiter send_awaited(self, Outgoing message, double deadline):
        self.check_not_receiver()
        cdef Waiter waiter = self.expect(message.seq, None)
        try:
            self.send_message(message, False, deadline)
        except BaseException:
            self.pending.pop(message.seq, None)
            raise
        return waiter

    def finish(self, int seq, Waiter waiter not None, timeout=None):
        """Return the reply to a message that was begun, by its number and what `begin` gave."""
        self.enter()
        try:
            ensure_may_wait(self.served_by)
            self.check_not_receiver()
            return self.reply_for(seq, waiter, deadline_of(timeout), NULL, NULL)
        finally:
            self.leave()

    def submit(self, Outgoing message not None, callback, timeout=None):
        """Send one message and return; ``callback(reply, error)`` is called later, in a background thread.

        Arguments as for ``exchange``; the timeout is for sending. One of the callback's arguments is None. A callback
        must not raise, and not wait for other replies of this link than those of its own exchanges.
        """
        self.enter()
        try:
            if self.background is None:
                raise LocalProtocolError("call set_background before submit")
            self.expect(message.seq, callback)
            try:
                self.send_message(message, self.callbacks > CROWD, deadline_of(timeout))
            except BaseException:
                if self.pending.pop(message.seq, None) is not None:
                    self.callbacks -= 1
                raise
            if not self.reading:
                self.appoint_reader()
        finally:
            self.leave()

    cdef int submit_small(self, const uint8_t *request, Py_ssize_t size, int seq, object callback) except -1:
        """As `submit`, for a whole message and without a time limit."""
        self.enter()
        try:
            if self.background is None:
                raise LocalProtocolError("call set_background before submit")
            self.expect(seq, callback)
            try:
                self.send_bytes(request, size, self.callbacks > CROWD, 0)
            except BaseException:
                if self.pending.pop(seq, None) is not None:
                    self.callbacks -= 1
                raise
            if not self.reading:
                self.appoint_reader()
        finally:
            self.leave()
        return 0

    def push(self):
        """Have those submitted messages that wait for company leave now."""
        if not self.closing:
            push_now(self.fd, &self.promise)

    def withdraw(self, int seq):
        """Give up an exchange that was submitted or begun. False when its reply is here, or about to be called back."""
        cdef Waiter waiter = None if self.pending is None else self.pending.pop(seq, None)
        if waiter is None:
            return False
        self.callbacks -= waiter.callback is not None
        self.forget(seq)
        return True

    def read_for_others(self):
        """Receive replies and call the callbacks of ``submit`` until none is left. Never raises.

        Precondition: this thread has been appointed: `reading` is set for it.
        """
        cdef Message message
        assert self.reading, "read_for_others is for who has been appointed"
        if self.closing:  # before this thread came to run: the descriptor may be somebody else's by now
            self.reading = False
            self.break_for_all(ConnectionClosedError("the connection is closed"))
            return
        self.users += 1
        self.reader = self.receiver = this_thread()
        try:
            while self.callbacks:
                message = self.receive_message(0)
                if not self.deliver(message):
                    raise unexpected(message)
        except BaseException as error:
            try:
                self.break_for_all(error)
            except BaseException:
                pass  # everybody has heard; what interrupts this thread is nobody's matter
        finally:
            self.reader = self.receiver = 0
            self.stop_reading()
            self.leave()

    cdef int check_not_receiver(self) except -1:
        if self.reading and self.receiver == this_thread():
            raise LocalProtocolError(
                "this thread is in the middle of a call on the connection: a destructor or a signal handler cannot "
                "make another one there; give it a proxy of its own, or make the call oneway or asynchronous"
            )
        return 0

    cdef int check_unread(self) except -1:
        if self.pending:
            raise LocalProtocolError("the connection is in use by another thread; give each thread its own, or a lock")
        return MessageStream.check_unread(self)

    cdef Waiter expect(self, int seq, object callback):
        cdef Waiter waiter = Waiter()
        waiter.callback = callback
        if self.pending is None:
            self.pending = {}
        if seq in self.pending or (self.reading and seq == self.awaited):
            raise LocalProtocolError(f"sequence number {seq} is waited for already, by another thread")
        self.pending[seq] = waiter
        if callback is not None:
            self.callbacks += 1
        return waiter

    cdef Message converse_small(
        self, const uint8_t *request, Py_ssize_t size, int seq, Header *header, uint8_t *payload, double deadline,
    ):
        """Send a whole message and wait for its reply: None when it is in `header` and `payload`, else a Message.

        Preconditions: between `enter` and `leave`; `payload` has room for SMALL_REPLY bytes.
        """
        cdef Waiter waiter
        cdef Py_ssize_t count = 0
        cdef bint alone = not self.reading
        assert self.users > 0, "converse_small is for who is inside"
        ensure_may_wait(self.served_by)
        if alone:
            self.reading = True  # before anybody else can: the reply must not come to somebody who does not expect it
            self.awaited = seq
            try:
                if size <= SMALL_REPLY and self.is_one_of_many() and self.assembler.idle():
                    count = self.send_and_receive(request, size, deadline)
                else:
                    count = self.send_at_once(request, size)
            except BaseException:
                self.awaited = -1
                self.stop_reading()
                raise
            if count == size:
                return self.read_for(seq, deadline, header, payload, True)
        if alone:
            self.awaited = -1
        else:
            self.check_not_receiver()
        waiter = self.expect(seq, None)
        if alone:
            self.stop_reading()
        try:
            if count == 0:
                self.send_bytes(request, size, False, deadline)
            else:
                self.send_rest_of(request, size, count, deadline)
        except BaseException:
            self.pending.pop(seq, None)
            raise
        return self.reply_for(seq, waiter, deadline, header, payload)

    cdef Message reply_for(self, int seq, Waiter waiter, double deadline, Header *header, uint8_t *payload):
        # As reader, or from the reader's hands.
        try:
            while waiter.message is None and waiter.error is None:
                if waiter.must_read or not self.reading:
                    self.reading = True
                    waiter.must_read = False
                    del self.pending[seq]
                    return self.read_for(seq, deadline, header, payload, True)
                if self.reader == this_thread():  # this thread is the reader, inside a callback
                    del self.pending[seq]
                    return self.read_for(seq, deadline, header, payload, False)
                self.wait_turn(waiter, deadline)
        except BaseException:
            waiter.waiting = False
            if self.pending.pop(seq, None) is not None:
                self.forget(seq)
            if waiter.must_read:
                self.stop_reading()
            raise
        if waiter.error is not None:
            raise waiter.error
        return waiter.message

    cdef int wait_turn(self, Waiter waiter, double deadline) except -1:
        # Until somebody wakes the waiter, or a signal is there to be handled.
        cdef PyLockStatus status
        cdef long long microseconds = LONGEST_WAIT
        if deadline != 0:
            microseconds = <long long> (deadline * 1e6) - monotonic() // 1000
            if microseconds <= 0:
                raise TimeoutError("receiving: timeout")
            if microseconds > LONGEST_WAIT:
                microseconds = LONGEST_WAIT
        waiter.waiting = True
        with nogil:
            status = PyThread_acquire_lock_timed(waiter.lock, microseconds, 1)
        if status == PY_LOCK_INTR and waiter.waiting:
            waiter.waiting = False  # a handler may call through this link: it must not wait for this thread to read
            PyErr_CheckSignals()
        return 0

    cdef Message read_for(self, int seq, double deadline, Header *header, uint8_t *payload, bint appointed):
        """Receive until the reply with that number is here; hand others over. Precondition: `reading` is set for us."""
        cdef Message message
        cdef int before = -1 if appointed else self.awaited  # by an exchange that this one is inside of, in a callback
        assert self.users > 0 and self.reading, "read_for is for who is inside, and reads"
        self.awaited = seq
        self.receiver = this_thread()
        try:
            while True:
                if header != NULL and self.take_small(header, payload):
                    if header.seq == seq:
                        return None
                    message = message_of(header, payload)
                else:
                    message = self.next_buffered()
                    if message is None:
                        self.receive_some(deadline, True)
                        continue
                if message.seq == seq:
                    return message
                if not self.deliver(message):
                    if not self.pending and not self.forgotten:
                        return message  # the caller says what is wrong with it
                    raise unexpected(message)
        except BaseException as error:
            if self.pending and (isinstance(error, TimeoutError) or not isinstance(error, CommunicationError)):
                self.forget(seq)
            else:
                self.break_for_all(error)
            raise
        finally:
            self.awaited = before
            self.receiver = 0
            if appointed:
                self.stop_reading()

    cdef int stop_reading(self) except -1:
        assert self.reading, "stop_reading is for who reads"
        self.reading = False
        if self.pending:
            if not self.usable():
                self.break_for_all(ConnectionClosedError("the connection is closed"))
            else:
                self.appoint_reader()
        return 0

    cdef int appoint_reader(self) except -1:
        # Who is still sending will notice by himself that nobody reads.
        cdef Waiter waiter
        assert not self.reading and self.pending, "appoint_reader is for when nobody reads, and somebody waits"
        if self.callbacks < len(self.pending):
            for item in self.pending.values():
                waiter = item
                if waiter.waiting:
                    self.reading = waiter.must_read = True
                    waiter.wake()
                    return 0
        if self.callbacks:
            self.reading = True
            self.receiver = this_thread()  # until there is another one: what a destructor here waits for, nobody reads
            try:
                self.background(self.read_for_others)
            except BaseException as error:  # no thread can be started, or an interrupt
                self.reading = False
                self.break_for_all(error)
                if not isinstance(error, Exception):
                    raise
            finally:
                if self.receiver == this_thread():
                    self.receiver = 0
        return 0

    cdef bint deliver(self, Message message) except -1:
        """Hand a reply to who waits for it. False when nobody does, or ever did."""
        cdef Waiter waiter = None if self.pending is None else self.pending.pop(message.seq, None)
        if waiter is None:
            if self.forgotten and message.seq in self.forgotten:
                self.forgotten.discard(message.seq)
                return True
            return False
        if waiter.callback is None:
            waiter.message = message
            waiter.wake()
            return True
        self.callbacks -= 1
        self.run_callback(waiter.callback, message)
        return True

    cdef int run_callback(self, object callback, Message message) except -1:
        # Here when this thread reads for callbacks only, else in the background.
        cdef Delivery delivery = Delivery()
        delivery.callback = callback
        delivery.message = message
        if self.reader == this_thread():
            return self.run_here(delivery)
        try:
            self.background(delivery)
        except RuntimeError:  # no thread can be started: then it has to be this one
            return self.run_here(delivery)
        except BaseException:  # an interrupt, perhaps before the thread was started
            self.run_here(delivery)
            raise
        return 0

    cdef int run_here(self, Delivery delivery) except -1:
        # The callback may exchange messages: this thread reads for it.
        cdef unsigned long reader = self.reader
        self.reader = this_thread()
        self.receiver = 0
        try:
            delivery()
        finally:
            self.receiver = self.reader
            self.reader = reader
        return 0

    cdef int forget(self, int seq) except -1:
        # Its reply may still come, though the peer hears of it; until then the number is not used again.
        if self.forgotten is None:
            self.forgotten = set()
        self.forgotten.add(seq)
        return self.notify(CANCEL, seq) if self.features & CANCELS else 0

    cdef int break_for_all(self, object error) except -1:
        """Nothing more can be received: tell everybody who waits."""
        cdef Waiter waiter
        interrupt = None
        self.broken = True
        self.give_up()
        while self.pending:
            waiter = self.pending.popitem()[1]
            failure = ConnectionClosedError(f"the connection was lost in the exchange of another thread: {error}")
            if waiter.callback is None:
                waiter.error = failure
                waiter.wake()
                continue
            self.callbacks -= 1
            try:
                call_back(waiter.callback, None, failure)
            except BaseException as raised:  # the others must hear as well
                interrupt = interrupt or raised
        if interrupt is not None:
            raise interrupt
        return 0

cdef object unexpected(Message message):
    return RemoteProtocolError(f"a reply came with sequence number {message.seq}, which nobody waits for")
