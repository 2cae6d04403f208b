# What serving a connection costs those who wait meanwhile: the processor time of the thread that serves, since a time
# by the clock may be what others had of the processor, or of the GIL; where all wait for this thread, its sleep too.

from fastpyro._clock cimport monotonic

cdef enum:
    STRANGER = -2  # as a cost: in its handshake
    NEW = -1  # and: none of its calls has been served yet
    TURN = 250  # microseconds for which the requests that one connection has sent at once are served before others' are
    WATCHED = 16  # turns of a connection that are measured exactly after one that was longer
    UNMEASURED = -2  # as a processor time

cdef extern from *:
    """
    #include <sys/resource.h>
    #include <time.h>

    /* Nanoseconds of processor time of this thread; -1 where the system does not say. */
    static long long processor_time(void) {
    #ifdef CLOCK_THREAD_CPUTIME_ID
        struct timespec time;
        if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0)
            return (long long)time.tv_sec * 1000000000 + time.tv_nsec;
    #endif
        return -1;
    }

    /* How often this thread has given up its processor of its own accord; -1 where the system does not say. */
    static long sleeps(void) {
    #ifdef RUSAGE_THREAD
        struct rusage usage;
        if (getrusage(RUSAGE_THREAD, &usage) == 0)
            return usage.ru_nvcsw;
    #endif
        return -1;
    }
    """
    long long processor_time() noexcept nogil
    long sleeps() noexcept nogil


cdef struct TurnCost:
    double cost  # seconds that its last turns cost; below 0 while nobody knows
    double took  # seconds that the last one lasted, by the clock
    double ended  # when that was
    double began
    long long processor  # what the thread had used then, and how often it had slept, if that is measured
    long slept
    int watched  # turns that are still to be measured


cdef inline bint is_long(const TurnCost *turn) noexcept:
    return turn.took > TURN * 1e-6


cdef inline int begin_turn(TurnCost *turn, double now) noexcept:
    turn.began = now
    if turn.watched > 0 or turn.cost == NEW or turn.cost > TURN * 1e-6:
        turn.processor = processor_time()
        turn.slept = sleeps()
    else:  # it is quick, most probably: that need not be known exactly
        turn.processor = UNMEASURED
    return 0


cdef inline double end_turn(TurnCost *turn, bint handshaken, bint alone) noexcept:
    """Note what a turn cost; returns the time. What was long is forgotten bit by bit.

    A turn that was not measured proves nothing when it lasted long; the next ones are. `alone`: all wait for this one.
    """
    cdef double now = monotonic() * 1e-9, took = now - turn.began, before = turn.cost * 0.75
    turn.took = took
    if turn.watched > 0:
        turn.watched -= 1
    if turn.cost == STRANGER:
        turn.cost = NEW if handshaken else STRANGER
        return now
    if is_long(turn):
        turn.watched = WATCHED
        if turn.processor == UNMEASURED:
            took = 0
        elif turn.processor >= 0 and not (alone and sleeps() != turn.slept):
            took = min(took, (processor_time() - turn.processor) * 1e-9)
    turn.cost = max(took, before, 0)
    turn.ended = now
    return now
