"""A call that is awaited: its own future, and its own coroutine object, so that awaiting it makes no other object.

Knows who sends it as a `Sender`, and its proxy as a `LoopCaller`; knows no descriptors.

Rule 1: a call that nobody has begun to await is a coroutine (`create_task` takes it), and no future; from then on it is
        a future as well, which is what the task that awaits it is given to wait for.
Rule 2: a reply that is no plain value is read by who awaits it, in his context.
Rule 3: whoever waits is told once. From the reader of the loop a task is woken directly, in its context; from anywhere
        else, and anybody else, by the loop.
Rule 4: a call that is cancelled is withdrawn from its sender: its reply is dropped, whenever it comes.
"""

cimport cython
from cpython.object cimport PyObject

from fastpyro._slots cimport fastpyro_set_iternext, fastpyro_stop
from fastpyro.client._session cimport CallerCore
from fastpyro.protocol._call_context cimport CallState, current_state, limit_of
from fastpyro.protocol._message cimport Message
from fastpyro.protocol._time_limits cimport clock, scopes_used

import asyncio
import warnings
from contextvars import copy_context

from fastpyro.client._session import name_timeout
from fastpyro.client.retries import may_be_repeated, pause_before
from fastpyro.errors import PyroError, TimeoutError
from fastpyro.protocol._call_context import limit_within

cdef extern from "Python.h":
    void PyErr_SetObject(object kind, object error) noexcept
    void PyErr_WriteUnraisable(object where) noexcept
    bint PyCFunction_Check(object value) noexcept
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    void Py_INCREF(object value) noexcept

cdef object running_loop = asyncio._get_running_loop
cdef object CancelledError = asyncio.CancelledError
END = object()
"""What the daemon's own object gives behind the last item of a stream."""

cdef type stream_class = None
cdef object batch_results = None


def install(type stream not None, results not None):
    """Say what is made above: the class of the blocking streams, and how the reply to a batch is read."""
    global stream_class, batch_results
    stream_class = stream
    batch_results = results


cdef class Sender:
    cdef int begin(self, Call call) except -1:
        """Send a call, or have it wait for its turn."""
        raise AssertionError("a sender is an Exchange")

    cdef int withdraw(self, Call call) except -1:
        """Forget a call: nobody waits for its reply."""
        raise AssertionError("a sender is an Exchange")

    cdef Step look(self, Call call) except RAISED:
        """Look whether the reply comes, before anybody sleeps."""
        return SUSPENDED


cdef class LoopCaller:
    """What a proxy for event loops is to its calls."""

    def _pyro_set_inner(self, CallerCore inner not None):
        """Say which proxy has the settings, the session, and the names of the members."""
        self.inner = inner

    @property
    def _pyro_inner(self):
        """The proxy that has the settings."""
        return self.inner

    @property
    def _pyro_sender(self):
        """Who sends the calls, or None."""
        return self.sender

    @_pyro_sender.setter
    def _pyro_sender(self, Sender sender):
        self.sender = sender


@cython.freelist(64)
cdef class Call:
    """One remote call, to be awaited.

    Arguments: ``caller``, the proxy; ``name`` of the method; ``args``, ``kwargs``; ``object_id`` of another object of
    the daemon; ``batch``, the queued calls of a batch; ``oneway``, whether nobody waits for that.
    """

    def __init__(
        self, LoopCaller caller not None, str name not None, tuple args not None, dict kwargs=None, *,
        str object_id=None, BatchWriter batch=None, bint oneway=False,
    ):
        self.caller = caller
        self.__name__ = name
        self.args = args
        self.kwargs = kwargs
        self.object_id = object_id
        self.batch = batch
        self.oneway = oneway
        self.tries = caller.inner._pyroMaxRetries

    @property
    def __qualname__(self):
        return f"{type(self.caller).__name__}.{self.__name__}"

    def __repr__(self):
        states = ["not awaited", "waits to be sent", "sent", "done", "done", "failed", "cancelled"]
        return f"<remote call {self.__name__}: {states[self.state]}>"

    def __dealloc__(self):
        # Not `__del__`: an object out of the free list is finalized once for all its lives.
        if self.state == CREATED and self.caller is not None:
            never_awaited(self.__name__)

    # ---- as a coroutine

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise AssertionError("the slot has another function")

    def send(self, value):
        """Go on, as a task has it."""
        cdef Step step = self.step()
        if step == FINISHED:
            raise StopIteration(self.outcome())
        return self if step == SUSPENDED else None

    def throw(self, kind, value=None, traceback=None):
        """End the call by an exception, which is raised."""
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        if traceback is not None:
            value = value.with_traceback(traceback)
        self.abandon()
        try:
            raise value
        finally:
            del value, kind  # its traceback would hold them

    def close(self):
        """End the call; nothing is raised."""
        self.abandon()

    def __aiter__(self):
        """Return the items of the stream that the call returns."""
        return self.caller._pyro_items(self)

    cr_frame = cr_code = cr_await = None  # there is no frame of Python
    cr_running = False

    @property
    def cr_suspended(self):
        return self.state == WAITING or self.state == SENT

    @property
    def cr_state(self):  # Python 3.15 asks for it
        return "CORO_SUSPENDED" if self.state == WAITING or self.state == SENT else "CORO_CLOSED"

    # ---- as a future

    @property
    def _asyncio_future_blocking(self):
        return None if self.state == CREATED else self.blocking

    @_asyncio_future_blocking.setter
    def _asyncio_future_blocking(self, bint blocking):
        self.blocking = blocking

    def get_loop(self):
        """Return the loop that the call is awaited on."""
        return self.loop if self.loop is not None else running_loop()

    def add_done_callback(self, callback, *, context=None):
        """Have ``callback(call)`` called when the call is over."""
        if self.state == CREATED:
            self.start()
        if self.state >= DONE:
            self.loop.call_soon(callback, self, context=context)
            return
        if context is None:
            context = copy_context()
        if self.callback is None:
            self.callback = callback
            self.context = context
            return
        if self.callbacks is None:
            self.callbacks = []
        self.callbacks.append((callback, context))

    def remove_done_callback(self, callback):
        """Undo `add_done_callback`; returns how often it had been called."""
        cdef list kept = [entry for entry in self.callbacks or () if entry[0] != callback]
        cdef Py_ssize_t removed = len(self.callbacks or ()) - len(kept)
        self.callbacks = kept or None
        if self.callback is not None and self.callback == callback:
            removed += 1
            self.callback, self.context = kept.pop(0) if kept else (None, None)
        return removed

    def cancel(self, msg=None):
        """Give the call up. False when it is over."""
        if self.state >= DONE:
            return False
        self.cancel_message = msg
        self.abandon()
        return True

    def cancelled(self):
        return self.state == CANCELLED

    def done(self):
        return self.state >= DONE

    def result(self):
        """Return what the call returned, or raise what it raised."""
        return self.outcome()

    def exception(self):
        """Return what the call raised, or None."""
        if self.state == UNREAD:
            self.read()
        if self.state == FAILED_:
            return self.error
        self.outcome()

    # ---- what happens to it

    cdef int start(self) except -1:
        self.loop = running_loop()
        if self.loop is None:
            raise RuntimeError(f"{self.__name__}: a call of an aio.Proxy is awaited in a running event loop")
        self.state = WAITING
        cdef CallState state = current_state()
        self.seconds = self.caller.inner._pyro_timeout
        try:
            if scopes_used or state.deadline != 0:
                self.take_limit()
            return self.hand_over()
        except Exception as error:
            return self.fail(error)

    cdef int hand_over(self) except -1:
        # To who has the connection, or makes one.
        cdef Sender sender = self.caller.sender
        if sender is not None and sender.usable and sender.loop is self.loop:
            return sender.begin(self)
        self.caller._pyro_prepare(self)
        return 0

    cdef int take_limit(self) except -1:
        # That of the block or of the method in which the call is awaited: it may be sent in another context.
        cdef double left, horizon
        self.until = limit_of(current_state())
        if self.until != 0:
            self.limit = limit_within(self.seconds)
            left = self.time_left()
            horizon = left if self.seconds == 0 or left < self.seconds else self.seconds
            self.limit = limit_within(self.seconds, horizon)
            self.seconds = horizon
        return 0

    cdef double time_left(self) except -1:
        cdef double left = self.until - clock()
        if left <= 0:
            self.tries = 0
            error = TimeoutError("nothing is sent: timeout")
            self.name(error)
            raise error
        return left

    cdef int name(self, object error) except -1:
        # Say what was waited for, and how long.
        cdef CallerCore inner = self.caller.inner
        what = f"attribute {self.args[0]}" if self.__name__ in ("__getattr__", "__setattr__") else self.__name__
        if inner.session is not None:
            name_timeout(error, what, inner.session, inner._pyro_timeout, self.limit)
        else:
            error.args = (f"{error} of {what} of {inner._pyroUri}",)
        return 0

    def begin(self):
        """Called when there is a connection, or when the pause before a repetition is over."""
        if self.state == WAITING:
            self.again()

    def is_waiting(self):
        """Whether the call has not been sent, and is still wanted."""
        return self.state == WAITING

    cdef Step step(self) except RAISED:
        cdef Step step
        if self.state == CREATED:
            self.start()
        if self.state == SENT and not self.looked:
            step = self.sender.look(self)
            if step == GIVES_WAY and not self.gave_way:
                self.gave_way = True
                return GIVES_WAY
            self.looked = True
        if self.state >= DONE:
            return FINISHED
        self.start_timer()
        self.blocking = True
        return SUSPENDED

    cdef object outcome(self):
        if self.state == UNREAD:
            self.read()
        if self.state == DONE:
            return self.value
        if self.state == FAILED_:
            raise self.error
        if self.state == CANCELLED:
            raise CancelledError() if self.cancel_message is None else CancelledError(self.cancel_message)
        raise asyncio.InvalidStateError("the call is not over")

    cdef int finished(self, object value, bint direct) except -1:
        self.value = value
        self.state = DONE
        return self.tell(direct)

    cdef int arrived(self, Message message, bint direct) except -1:
        self.message = message
        self.state = UNREAD
        return self.tell(direct)

    cpdef int fail(self, object error) except -1:
        """End the call with an error, or make it again; unless it is over."""
        if self.state >= DONE:
            return 0
        cdef CallerCore inner = self.caller.inner
        if self.tries > 0 and isinstance(error, PyroError) and may_be_repeated(inner, self.__name__, error):
            number = inner._pyroMaxRetries - self.tries
            self.tries -= 1
            self.start_timer()
            if number <= 0 or self.loop.is_closed():
                return self.again()
            self.state = WAITING
            self.sender = None
            self.loop.call_later(pause_before(number), self.begin)
            return 0
        self.error = error
        self.state = FAILED_
        return self.tell(False)

    def again(self):
        """Send the call anew, over another connection."""
        self.state = WAITING
        self.sender = None
        try:
            self.hand_over()
        except Exception as error:
            self.tries = 0
            self.fail(error)
        return 0

    cdef int read(self) except -1:
        cdef Message message = self.message
        cdef CallerCore inner = self.caller.inner
        self.message = None
        try:
            if self.batch is not None:
                self.value = batch_results(self.session, inner, message, self.batch, (self.seq, self.serializer_id))
            else:
                self.value = self.session.value_of(inner, message, self.seq, self.serializer_id)
                if type(self.value) is stream_class:
                    self.value = self.caller._pyro_stream(self.value)
            self.state = DONE
        except (StopIteration, GeneratorExit) as end:
            self.ended_by(end)
        except BaseException as error:
            self.error = error
            self.state = FAILED_
        return 0

    cdef int ended_by(self, object end) except -1:
        # What cannot be raised in a coroutine. From the daemon's own object it is the end of a stream.
        if self.object_id is not None:
            self.value = END
            self.state = DONE
            return 0
        self.error = RuntimeError(f"{self.__name__} raised {type(end).__name__}, which cannot be raised in a coroutine")
        self.error.__cause__ = end
        self.state = FAILED_
        return 0

    cdef int tell(self, bint direct) except -1:
        callback, context, callbacks = self.callback, self.context, self.callbacks
        self.stop_timer()
        self.callback = self.context = self.callbacks = None
        self.args = None
        try:
            if callback is not None:
                self.tell_one(callback, context, direct)
        finally:  # it may end the program
            for other, its_context in callbacks or ():
                self.tell_one(other, its_context, False)
        return 0

    cdef int tell_one(self, object callback, object context, bint direct) except -1:
        if direct and PyCFunction_Check(callback):
            try:
                PyContext_Enter(context)
            except RuntimeError:  # somebody is in it
                direct = False
            if direct:
                try:
                    callback(self)
                except (KeyboardInterrupt, SystemExit):
                    raise
                except BaseException as error:
                    self.loop.call_exception_handler({"message": f"Exception in {callback!r}", "exception": error})
                finally:
                    PyContext_Exit(context)
                return 0
        if not self.loop.is_closed():
            self.loop.call_soon(callback, self, context=context)
        return 0

    cdef int abandon(self) except -1:
        cdef State before = self.state
        if before >= DONE:
            return 0
        self.state = CANCELLED
        if before != CREATED:
            self.withdraw()
            self.tell(False)
        return 0

    cdef int withdraw(self) except -1:
        cdef Sender sender = self.sender
        self.sender = None
        if sender is not None:
            return sender.withdraw(self)
        self.caller._pyro_unwanted(self)
        return 0

    cdef int start_timer(self) except -1:
        # For what is left of the block, where that is less. The timer that runs goes on.
        cdef double seconds = self.seconds
        if self.timer is None and seconds != 0 and not self.loop.is_closed():
            if self.until != 0:
                seconds = max(min(seconds, self.until - clock()), 0)
            self.timer = self.loop.call_later(seconds, self.expire)
        return 0

    cdef int stop_timer(self) except -1:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        return 0

    def expire(self):
        """Called when the time is up."""
        if self.state >= DONE:
            return
        self.timer = None
        error = TimeoutError("receiving: timeout" if self.state == SENT else "sending: timeout")
        self.name(error)
        self.withdraw()
        self.fail(error)


cdef void never_awaited(str name) noexcept:
    try:
        warnings.warn(f"remote call '{name}' was never awaited", RuntimeWarning, stacklevel=2)
    except RuntimeWarning as error:  # where warnings are errors: a destructor cannot raise
        PyErr_SetObject(RuntimeWarning, error)
        PyErr_WriteUnraisable(name)


cdef PyObject *call_next(PyObject *self) except? NULL:
    # The slot `tp_iternext`. The end is told without a traceback: it is no error.
    cdef Call call = <Call> self
    cdef Step step = call.step()
    if step == SUSPENDED:
        Py_INCREF(call)
        return self
    if step == GIVES_WAY:
        Py_INCREF(None)
        return <PyObject *> None
    return fastpyro_stop(call.outcome())


fastpyro_set_iternext(Call, call_next)
