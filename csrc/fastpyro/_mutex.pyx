"""A lock that cannot be left locked: who has it holds a guard, and it is free again as soon as the guard is gone.

    with mutex.guard():
        ...

An interrupt (Ctrl-C, PyThreadState_SetAsyncExc) may come between any two steps of Python code. Between `acquire()`
and `try`, or between the end of a `with` and its `__exit__`, it leaves a lock of `threading` locked for ever. A guard
is on the interpreter's stack from the moment it exists, and whatever unwinds that stack drops it.

Rule 1: between taking a lock and handing out its guard nothing here runs Python code, and nothing is allocated.
Rule 2: no thread waits for itself. A destructor or a signal handler may run anywhere, also in the middle of what the
        lock guards: it gets the lock again where that is allowed (`reentrant`), else a LocalProtocolError.
Rule 3: a leaf is a lock under which nothing waits for another thread. A destructor in the middle of it that would,
        for the reply to a call, is refused: the other thread may need the leaf first.
Rule 4: keep a guard in no variable: a traceback would keep it alive.
Rule 5: a thread that the clients of a daemon wait for does not wait for a reply itself, but in methods and hooks
        (`set_leading`): a destructor that would is refused. Where a daemon is served by one thread only, that thread
        never calls this daemon at all (`ServingThread`).
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport (
    NOWAIT_LOCK, WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
    PyThread_get_thread_ident, PyThread_release_lock, PyThread_type_lock,
)

from time import monotonic

from fastpyro.errors import LocalProtocolError, TimeoutError

cdef extern from "pythread.h":
    ctypedef enum PyLockStatus:
        PY_LOCK_INTR
        PY_LOCK_ACQUIRED
    PyLockStatus PyThread_acquire_lock_timed(PyThread_type_lock lock, long long microseconds, int interruptible) nogil

cdef extern from *:
    """
    static __thread int fastpyro_leaves;
    static __thread int fastpyro_leading;
    """
    int fastpyro_leaves  # guards of leaves that this thread holds
    int fastpyro_leading  # whether this thread serves a daemon, and is not in a method or hook of its

cdef enum:
    SLICE = 100000  # microseconds between two looks at `check`
    PAUSE = 1000  # microseconds between two looks of a greenlet that waits
    LONGEST_SLICE = 1000000000  # microseconds; a longer wait is cut into several


cdef object pause = None  # how greenlets wait, where threads are greenlets


cdef inline unsigned long this_thread() noexcept:
    return <unsigned long> PyThread_get_thread_ident()


cdef long long microseconds_until(double deadline, long long most) except -1:
    # 0 when the deadline has passed; a deadline of 0 is none.
    cdef double left
    if deadline == 0:
        return most
    left = (deadline - <double> monotonic()) * 1e6
    if left <= 0:
        return 0
    return <long long> left + 1 if left < most else most


@cython.final
cdef class ServingThread:
    """The only thread that serves a daemon. Attribute: ``ident``, of the thread; 0 while none serves."""


def check_may_wait(ServingThread peer):
    """Raise LocalProtocolError when this thread must not wait for the reply to a call; ``peer`` serves it, or None."""
    ensure_may_wait(peer)


cdef int ensure_may_wait(ServingThread peer) except -1:
    """As `check_may_wait`."""
    if fastpyro_leaves or fastpyro_leading:
        refuse_to_wait()
    if peer is not None and peer.ident == this_thread():
        raise LocalProtocolError(
            "this thread serves the called daemon itself (server type multiplex) and would wait for itself: call the "
            "object directly, make the call oneway, or use the server type thread"
        )
    return 0


def set_leading(bint leading):
    """Say whether this thread serves clients, outside of their methods and hooks. Returns what was said before."""
    return lead(leading)


def share_thread(sleep not None):
    """Note that this process' threads are greenlets, which wait by ``sleep(seconds)``: others run meanwhile."""
    global pause
    pause = sleep


cdef bint lead(bint leading) noexcept:
    global fastpyro_leading
    cdef bint before = fastpyro_leading
    fastpyro_leading = leading
    return before


cdef int refuse_to_wait() except -1:
    if pause is not None:
        return 0  # another greenlet may be in the middle of that, which goes on while this one waits
    raise LocalProtocolError(
        "this thread is in the middle of something that others wait for: a destructor cannot make a call here; make it "
        "oneway or asynchronous"
    )


@cython.final
@cython.no_gc
@cython.freelist(8)
cdef class Guard:
    """Who holds it has the lock. Leaving its `with` block gives the lock back, and so does forgetting it."""

    def __dealloc__(self):
        if self.mutex is not None:
            self.give_back()

    cdef void give_back(self) noexcept:
        global fastpyro_leaves
        cdef Mutex mutex = self.mutex
        self.mutex = None
        if mutex.leaf:
            fastpyro_leaves -= 1
        mutex.give_back()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.mutex is not None:
            self.give_back()


@cython.final
@cython.no_gc
cdef class Sleeper:
    """A thread in `Mutex.wait`."""

    cdef PyThread_type_lock lock
    cdef bint woken

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError
        PyThread_acquire_lock(self.lock, NOWAIT_LOCK)

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_release_lock(self.lock)
            PyThread_free_lock(self.lock)

    cdef bint sleep(self, double deadline) except -1:
        cdef PyLockStatus status
        cdef long long microseconds
        while not self.woken:
            microseconds = microseconds_until(deadline, LONGEST_SLICE)
            if microseconds == 0:
                break
            if pause is not None:
                pause(min(microseconds, PAUSE) * 1e-6)
                continue
            with nogil:
                status = PyThread_acquire_lock_timed(self.lock, microseconds, 1)
            if status == PY_LOCK_INTR:
                PyErr_CheckSignals()
        return self.woken

    cdef void wake(self) noexcept:
        self.woken = True
        PyThread_release_lock(self.lock)


@cython.no_gc
cdef class Mutex:
    """A lock for one thread at a time, taken by `guard`; also a condition, to `wait` for and to `notify`.

    Arguments: ``reentrant``, whether a thread that has it may take it again; ``what`` is guarded, for error messages;
    ``leaf``, whether who holds a guard must not wait for the reply to a call.
    """

    def __cinit__(self, bint reentrant=False, str what not None="the lock", bint leaf=False):
        self.leaf = leaf
        self.owner = 0
        self.depth = 0
        self.reentrant = reentrant
        self.what = what
        self.sleepers = None  # most have none, ever
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_free_lock(self.lock)

    def guard(self, double deadline=0, check=None):
        """Wait for the lock and return the guard that holds it.

        Arguments: ``deadline``, of time.monotonic, 0 for none; ``check``, a function that is called now and then while
        waiting, and with the lock: what it raises ends the waiting. Raises TimeoutError, and LocalProtocolError when
        this thread has the lock already (a destructor, or a signal handler) and it is not reentrant.
        """
        cdef Guard guard = Guard()
        if fastpyro_leaves and not self.leaf and not self.reentrant:
            refuse_to_wait()
        self.take(True, deadline, check)
        self.hand_to(guard)
        if check is not None:
            check()
        return guard

    def guard_now(self, check=None):
        """Return a guard, or None when another thread has the lock. Raises as `guard` when this thread has it."""
        cdef Guard guard = Guard()
        if not self.take(False, 0, None):
            return None
        self.hand_to(guard)
        if check is not None:
            check()
        return guard

    @property
    def locked(self):
        """Whether some thread has the lock."""
        return self.depth > 0

    @property
    def owned(self):
        """Whether this thread has the lock."""
        return self.owner == this_thread()

    def __enter__(self):
        self.take(True, 0, None)
        return self

    def __exit__(self, *exception):
        self.release()

    def acquire(self, bint blocking=True, double timeout=-1):
        """Take the lock as one of `threading` is taken, without a guard; ``release`` must follow."""
        cdef double deadline = 0 if timeout < 0 else <double> monotonic() + timeout
        try:
            return self.take(blocking, deadline, None)
        except TimeoutError:
            return False

    def release(self):
        """Give back what `acquire` took. Raises RuntimeError when this thread has not got it."""
        if self.owner != this_thread():
            raise RuntimeError("cannot release a lock that this thread has not got")
        self.give_back()

    cdef void hand_to(self, Guard guard) noexcept:
        global fastpyro_leaves
        guard.mutex = self
        if self.leaf:
            fastpyro_leaves += 1

    cdef bint take(self, bint may_wait, double deadline, object check) except -1:
        cdef unsigned long thread = this_thread()
        if self.owner == thread:
            if not self.reentrant:
                raise LocalProtocolError(
                    f"{self.what} is in use by this very thread: a destructor or a signal handler that runs in the "
                    "middle of a call cannot make another one on it; give it a proxy of its own"
                )
            self.depth += 1
            return True
        if not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
            if not may_wait:
                return False
            self.sleep_for_lock(deadline, check)
        self.owner = thread
        self.depth = 1
        return True

    cdef int sleep_for_lock(self, double deadline, object check) except -1:
        cdef PyLockStatus status
        cdef long long microseconds, most = LONGEST_SLICE if check is None else SLICE
        while True:
            microseconds = microseconds_until(deadline, most)
            if microseconds == 0:
                raise TimeoutError(f"waiting for {self.what}: timeout")
            with nogil:
                status = PyThread_acquire_lock_timed(self.lock, microseconds, 1)
            if status == PY_LOCK_ACQUIRED:
                return 0
            if status == PY_LOCK_INTR:
                PyErr_CheckSignals()
            if check is not None:
                check()

    cdef void give_back(self) noexcept:
        assert self.depth > 0, "give_back is for a lock that somebody has"
        self.depth -= 1
        if self.depth == 0:
            self.owner = 0
            PyThread_release_lock(self.lock)

    def wait(self, timeout=None):
        """Give the lock up until another thread notifies this one, and take it again. False when that took too long.

        Arguments: ``timeout`` in seconds, None for no limit. Precondition: this thread has the lock. It has it
        afterwards in any case, also when a signal handler raises.
        """
        return self.sleep(0 if timeout is None else <double> monotonic() + max(<double> timeout, 1e-9))

    def wait_for(self, condition not None, timeout=None):
        """Wait until ``condition()`` is true, looking again after each notification; returns what it said last."""
        cdef double deadline = 0 if timeout is None else <double> monotonic() + max(<double> timeout, 1e-9)
        while True:
            value = condition()
            if value or not self.sleep(deadline):
                return value or condition()

    cdef bint sleep(self, double deadline) except -1:
        cdef Sleeper sleeper = Sleeper()
        global fastpyro_leaves
        cdef Py_ssize_t depth = self.depth
        cdef int leaves = fastpyro_leaves
        if self.owner != this_thread():
            raise RuntimeError("cannot wait with a lock that this thread has not got")
        if self.sleepers is None:
            self.sleepers = []
        self.sleepers.append(sleeper)
        self.depth = 1
        self.give_back()
        fastpyro_leaves = 0
        try:
            return sleeper.sleep(deadline)
        except BaseException:
            if sleeper.woken:
                self.notify()  # it was meant for somebody who goes on
            raise
        finally:
            while pause is not None and not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
                pause(PAUSE * 1e-6)
            if pause is None:
                with nogil:
                    PyThread_acquire_lock(self.lock, WAIT_LOCK)
            self.owner = this_thread()
            self.depth = depth
            fastpyro_leaves = leaves
            if not sleeper.woken:
                self.sleepers.remove(sleeper)

    def notify(self, Py_ssize_t count=1):
        """Wake that many of the threads in `wait`, those first that came first."""
        cdef Sleeper sleeper
        while count > 0 and self.sleepers:
            sleeper = self.sleepers.pop(0)
            sleeper.wake()
            count -= 1

    def notify_all(self):
        """Wake all threads in `wait`."""
        if self.sleepers is not None:
            self.notify(len(self.sleepers))
