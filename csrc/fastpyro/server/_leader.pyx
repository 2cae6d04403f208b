"""Who leads: the thread that serves requests, and the monitor that sees when one of them is slow.

Rule 1: `hand_over` and the end of a request are atomic under the GIL: a request either ends while its leader leads, or
        after the lead was handed over. What a leadership goes through (`LeaderState`):

            state        event      next
            READY        begin      SERVING
            SERVING      end        READY
            SERVING      hand_over  HANDED_OVER   another thread leads; this one goes on with its request
            HANDED_OVER  end        FORMER        for good

Rule 2: a method that the monitor finds slow is known as slow from then on; while `full`, such methods wait,
        and the others run at once.
Rule 3: the monitor reads three numbers without the GIL and takes it only to hand over. What it does (`MonitorState`):

            WATCHING     park       PARKED        it sleeps; not while a request is being served
            PARKED       begin      WATCHING      whoever begins a request wakes it
            any          stop       STOPPED       for good
"""

cimport cython

from fastpyro._mutex cimport lead
from fastpyro._posix cimport usleep
from fastpyro.server._connection cimport ConnectionCore
from fastpyro._clock cimport monotonic

from fastpyro import constants
from fastpyro.server.exposure import members_of

cdef int ONEWAY = constants.FLAGS_ONEWAY

cdef enum:
    TICK = 1000  # microseconds between two looks of the monitor: a request that is seen twice is slow
    IDLE_TICKS = 50  # looks without a request after which the monitor sleeps until one wakes it


@cython.final
cdef class Leadership:
    def __cinit__(self):
        self.state = READY
        self.oneway = self.alone = self.urgent = self.noted_slow = self.noted_urgent = False
        self.kind = self.name = NULL

    @property
    def handed_over(self):
        """Whether another thread leads."""
        return self.is_over()


cdef class LeaderWatch:
    """Takes note of the request that the leader serves, and of the methods that were slow.

    Arguments: ``server``, asked to wake its monitor; ``service``, whose methods these are.
    """

    def __cinit__(self, server, service, *_):
        self.server = server
        self.require_expose = service.require_expose
        self.full = self.jammed = self.ending = False
        self.serial = self.running = 0
        self.monitor = WATCHING
        self.slow = {}

    def begin_request(self, Leadership leadership not None, ConnectionCore connection not None, int flags):
        """Note that the leader serves a request now; ``end_request`` must follow."""
        self.begin(leadership, connection, flags)

    def end_request(self, Leadership leadership not None):
        """Note that a request has been served."""
        cdef long long now
        if leadership.noted is not None:
            now = monotonic()
            if leadership.noted_slow:
                if now - leadership.noted_at < QUICK:
                    self.slow.pop(leadership.noted, None)
            elif leadership.is_over() and self.full and now - leadership.handed_over_at < ACCIDENT:
                self.slow.pop(leadership.noted, None)
            leadership.noted = None
        self.end(leadership)

    def note(self, Leadership leadership not None, type kind not None, str name not None, bint slow, bint urgent):
        """Note which method a request off the fast path runs, before it runs.

        Arguments: ``slow``, whether it is known to be; then it has to be quick to be known as quick again.
        """
        leadership.noted = kind, name
        leadership.noted_slow = slow
        leadership.noted_urgent = urgent
        leadership.noted_at = monotonic()

    def is_slow(self, kind, str name):
        """Return whether a method of a class is known to be slow. Argument: ``name``, empty for making an instance."""
        return (kind, name) in self.slow

    def forget_slow(self, kind, str name):
        """A method is quick, whatever it looked like."""
        self.slow.pop((kind, name), None)

    def note_time(self, tuple called not None, double seconds):
        """Note how long a method (its class and name), which is known to be slow, took in a thread without the lead."""
        if seconds < QUICK * 1e-9:
            self.slow.pop(called, None)

    def hand_over(self, Leadership leadership not None, unsigned long serial, bint free_oneway):
        """Take the lead from the leader that serves a request, and return the connection of that request.

        None when it serves none, or another one already. The leader may be done with its request when this returns.

        Arguments: ``serial``, which request, 0 for any; ``free_oneway``: a oneway request does not keep its connection.
        """
        cdef ConnectionCore connection = leadership.connection
        cdef tuple called = leadership.noted
        cdef bint urgent = called is not None and leadership.noted_urgent
        if connection is None or leadership.state != SERVING or not (serial == 0 or serial == self.serial):
            return None
        if leadership.name != NULL:
            called = <object> leadership.kind, <object> leadership.name
        leadership.handed_over_at = monotonic()
        leadership.state = HANDED_OVER
        self.running = 0
        # Objects of a session are never called concurrently, a channel that takes one message at a time is not shared,
        # and nothing may overtake a handshake.
        if leadership.oneway:
            leadership.alone = not free_oneway or (connection.serial_calls and not connection.oneway_apart)
        else:
            leadership.alone = connection.serial_calls or connection.link is None or not connection.handshaken
        if connection.home is not None:  # no other thread may serve it
            leadership.alone = True
        if leadership.alone:
            connection.read_holds += 1
        # Last, because it may let other threads run.
        if leadership.name != NULL and called is not None:
            urgent = called[1] in members_of(called[0], self.require_expose).urgent
        leadership.urgent = urgent
        if serial != 0 and called is not None and len(self.slow) < MOST_SLOW:
            self.slow[called] = True
        return connection

    cdef int begin(self, Leadership leadership, ConnectionCore connection, int flags) except -1:
        leadership.leading = lead(False)
        connection.calls_running += 1
        leadership.oneway = (flags & ONEWAY) != 0
        leadership.connection = connection
        if leadership.state == READY:
            leadership.state = SERVING
        self.serial += 1
        self.running = 1
        if self.monitor == PARKED:
            self.monitor = WATCHING
            self.server.wake_monitor()
        return 0

    cdef int end(self, Leadership leadership) except -1:
        if leadership.connection is not None:
            leadership.connection.calls_running -= 1
            leadership.connection = None
        if leadership.is_over():
            leadership.state = FORMER
        else:
            leadership.state = READY
            self.running = 0
            lead(leadership.leading)
        return 0

    def stop(self):
        """End `watch`."""
        self.monitor = STOPPED
        self.ending = True

    def watch(self):
        """Watch the leader until a request is slow (returns its serial number), or there is none for a while (0)."""
        cdef unsigned long seen = 0
        cdef int idle = 0
        with nogil:
            while self.monitor != STOPPED:
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
        if self.monitor == WATCHING:
            self.monitor = PARKED
        return True
