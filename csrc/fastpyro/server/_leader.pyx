"""Who leads: the thread that serves requests, and the monitor that sees when one of them is slow.

Rule 1: `depose` and the end of a request are atomic under the GIL: a request either ends in office or is deposed.
Rule 2: a method that the monitor finds slow is known as slow from then on; while `full`, such methods wait,
        and the others run at once.
Rule 3: the monitor reads three numbers without the GIL and takes it only to depose.
"""

cimport cython

from fastpyro._mutex cimport lead
from fastpyro._posix cimport usleep
from fastpyro.server._connection cimport ConnectionCore
from fastpyro.transport._spin cimport monotonic

from fastpyro import constants
from fastpyro.server.exposure import members_of

cdef int ONEWAY = constants.FLAGS_ONEWAY

cdef enum:
    TICK = 1000  # microseconds between two looks of the monitor: a request that is seen twice is slow
    IDLE_TICKS = 50  # looks without a request after which the monitor sleeps until one wakes it


@cython.final
cdef class Term:
    def __cinit__(self):
        self.oneway = self.deposed = self.alone = self.urgent = self.noted_slow = self.noted_urgent = False
        self.kind = self.name = NULL


cdef class Leadership:
    """Takes note of the request that the leader serves, and of the methods that were slow.

    Arguments: ``server``, asked to wake its monitor; ``service``, whose methods these are.
    """

    def __cinit__(self, server, service, *_):
        self.server = server
        self.require_expose = service.require_expose
        self.full = self.jammed = False
        self.serial = self.running = self.stopped = self.parked = 0
        self.slow = {}

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
