"""Looking again instead of sleeping: whether to, for how long, and on which processor.

Who looks brings the system call, and tells what came of it; of descriptors this knows which processor spoke last.

Rule 1: who looks yields the processor after each miss, so that two ends on one processor take turns; while the bytes
        come from another processor, now and then. Looking is bounded in time and in the number of threads that do it,
        and given up for longer and longer while it does not pay. Two to four threads of a process make up to three
        times the calls when they all look, because nobody is woken up.
Rule 2: a thread whose peer looks as well, and answers from this thread's own processor time after time, steps aside
        when another processor is idle. A wake-up puts both ends on one processor, where a call takes twice as long;
        what parts two threads that never sleep then is the system's next balancing, many milliseconds later.
Rule 3: the processors that a thread may use are what they were before; if that is a single one, it stays there.
Rule 4: the counters of this process change under the GIL only; whose turn it is to take the GIL changes atomically.
Rule 5: of the threads of a crowd that come back with bytes one at a time goes for the GIL. The others yield a few times
        first, instead of falling asleep on it: each would have to be woken up, often on the other processor, which
        takes longer than a call and leaves a processor idle meanwhile. A turn is a promise to nobody: it runs out.

Where the peer answers from (`Placement`), as far as the thread that looks can tell. An answer that is here at the first
look says nothing. Else somebody else ran on this processor in the last yield (near), or nobody did (far).

    state    event                                                            next
    UNKNOWN  near                                                             SHARED
    UNKNOWN  far                                                              APART     nothing speaks against it
    SHARED   near                                                             SHARED    one more in a row
    SHARED   far                                                              PARTING
    SHARED   a first miss, patience is over, another processor is idle        LEAVING
    SHARED   a first miss, patience is over, none is idle                     UNKNOWN   with more patience
    LEAVING  near                                                             LEAVING
    LEAVING  far                                                              PARTING
    LEAVING  a first miss: the thread steps aside                             UNKNOWN   with more patience
    PARTING  far, MIN_APART times in a row                                    APART
    APART    far, LONG_APART times in a row                                   APART     with the first patience
    PARTING, APART  near                                                      SHARED
"""

from fastpyro._clock cimport monotonic
from fastpyro._posix cimport sched_yield

import os

cdef extern from *:
    """
    /* Until when, in nanoseconds, it is some thread's turn to take the GIL; 0: it is nobody's. */
    static long long turn_end = 0;

    static int begin_turn(long long now, long long length) {
        long long end = __atomic_load_n(&turn_end, __ATOMIC_RELAXED);
        return end <= now && __atomic_compare_exchange_n(
            &turn_end, &end, now + length, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    static void clear_turn(void) { __atomic_store_n(&turn_end, 0, __ATOMIC_RELAXED); }

    #ifdef __linux__
    #include <fcntl.h>
    #include <sched.h>
    #include <stdio.h>
    #include <sys/socket.h>
    #include <unistd.h>

    /* How many threads of the whole system run, or could; -1 when it does not say. The fourth field of /proc/loadavg,
       "running/all", proc_loadavg(5). */
    static int running_threads(void) {
        char text[64];
        int running, file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
        if (file < 0)
            return -1;
        ssize_t size = read(file, text, sizeof text - 1);
        close(file);
        if (size <= 0)
            return -1;
        text[size] = 0;
        return sscanf(text, "%*s %*s %*s %d/", &running) == 1 ? running : -1;
    }

    /* Whether a socket's last bytes may have come from this processor. TCP knows (SO_INCOMING_CPU, socket(7)), so
       that another thread that ran here meanwhile, such as the system's own for interrupts, is not taken for it. */
    static int may_share(int fd, int here) {
        int source = -1;
        socklen_t size = sizeof source;
        return getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &source, &size) != 0 || source < 0 || source == here;
    }

    /* Whether to step aside next time: another of the processors that this thread may use must be idle. Two threads at
       least share this one: the others have fewer threads than processors when all together are no more than those. */
    static int may_step_aside(int fd) {
        cpu_set_t allowed;
        int here = sched_getcpu(), running;
        if (here < 0 || here >= CPU_SETSIZE || !may_share(fd, here))
            return 0;
        if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2)
            return 0;
        running = running_threads();
        return running >= 0 && running <= CPU_COUNT(&allowed);
    }

    /* Go on on another of the processors that this thread may use. */
    static int step_aside(void) {
        cpu_set_t allowed, others;
        int here = sched_getcpu();
        if (here < 0 || here >= CPU_SETSIZE || sched_getaffinity(0, sizeof allowed, &allowed) != 0)
            return 0;
        others = allowed;
        CPU_CLR(here, &others);
        if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0)
            return 0;
        return sched_setaffinity(0, sizeof allowed, &allowed) == 0;
    }
    #else
    /* Nothing is known of where other systems put threads. */
    static int may_step_aside(int fd) {
        (void)fd;
        return 0;
    }
    static int step_aside(void) { return 0; }
    #endif
    """
    bint begin_turn(long long now, long long length) noexcept nogil
    void clear_turn() noexcept nogil
    bint may_step_aside(int fd) noexcept nogil
    int step_aside() noexcept nogil

cdef enum:
    MOST_SPINNING = 4  # threads; from six on they wait for the GIL, and who sleeps at once gets on better
    MOST_MISSES = 6  # in a row; then 2 ** 6 waits pass between two tries
    EMPTY_YIELD = 1500  # nanoseconds that a yield takes at the most when there is nobody to yield to
    FIRST_PATIENCE = 8  # hits on a shared processor before stepping aside, which costs as much as ten of them
    LONGEST_PATIENCE = 16384
    BUSY_PATIENCE = 64  # hits between two looks for an idle processor, while there is none
    LONGEST_BULK_PATIENCE = 16  # of who moves something big, where a hit is worth as much as some twenty small ones
    MIN_APART = 32  # hits in a row from another processor; then no miss needs a yield, and no look is longer
    LONG_APART = 64  # and then stepping aside has helped
    MISSES_APART = 32  # between two yields then: with 4 an answer often came while the thread was in one, call after
    #                    call in the same way, and a call over a Unix socket took 6 to 8 microseconds instead of 5
    TURN = 20000  # nanoseconds after which a turn is over, whatever became of it; a call's part with the GIL takes five
    MOST_ASIDE = 10  # yields before a thread goes for the GIL although it is another's turn; 50 are no better
    LONG_TURN = 4000000  # nanoseconds to wait for the GIL; who computes keeps it for five milliseconds
    RESTS = 20  # times as long as that wait no thread of a crowd yields before it sleeps
    SHARED_TIMES = 4  # budgets that a look lasts on a shared processor, of which it takes little; a peer that steps
    #                   aside comes back late

cdef long long yields_from = 0  # a time: until then no thread of a crowd yields before it sleeps
cdef int waiting_threads = 0  # that wait for bytes now
cdef int spinners = 0  # threads of this process that look now
cdef Spin fresh = Spin(0, 0, 0, UNKNOWN, 0, FIRST_PATIENCE, LONGEST_PATIENCE, 0, False, False, False, False)
cdef Spin former = fresh  # the waiter that ended last


def _forget_threads():
    # In a forked child: the threads that waited or looked are the parent's.
    global waiting_threads, spinners
    waiting_threads = spinners = 0
    clear_turn()


os.register_at_fork(after_in_child=_forget_threads)


cdef Spin spin_of(int microseconds) noexcept:
    """The state of a waiter that has not looked yet."""
    cdef Spin spin = fresh
    spin.budget = <long long> microseconds * 1000
    return spin


cdef Spin bulk_spin_of(int microseconds) noexcept:
    """The same, of a waiter for room or bytes in the middle of something big."""
    cdef Spin spin = spin_of(microseconds)
    spin.longest_patience = LONGEST_BULK_PATIENCE
    return spin


cdef inline bint is_near(const Spin *spin) noexcept nogil:
    return spin.placement == SHARED or spin.placement == LEAVING


cdef void leave_shared_cpu(Spin *spin) noexcept:
    """Step aside for the peer from now on, who looks as well. What the last one found out about both still holds."""
    spin.may_leave = True
    spin.patience = former.patience
    if is_near(spin) != is_near(&former):
        return
    spin.hits += former.hits
    if former.placement == LEAVING:  # another processor was idle a moment ago: the step itself is left to do
        spin.placement = LEAVING
    elif is_near(spin):
        spin.hits = min(spin.hits, spin.patience)
    elif spin.hits > 0:
        spin.placement = APART if spin.hits >= MIN_APART else PARTING


cdef void end_spins(Spin *spin) noexcept:
    """The waiter will not wait any more: leave what it found out to the next one."""
    global former
    if spin.may_leave:
        former = spin[0]


cdef bint begin_spin(Spin *spin) noexcept:
    """Whether to look before sleeping, this time; `end_spin` must follow when it says so."""
    global spinners
    spin.too_late = False
    if is_crowd():
        return False
    if spin.rest > 0:
        spin.rest -= 1
        return False
    spin.longer = spin.stretched and spinners + waiting_threads == 0
    spinners += 1
    return True


cdef void end_spin(Spin *spin, bint hit) noexcept:
    global spinners
    assert spinners > 0, "end_spin is for who has begun"
    spinners -= 1
    if hit:
        spin.misses = 0
        return
    spin.patience = FIRST_PATIENCE  # the system will place both ends anew when they wake up
    if spin.misses < MOST_MISSES:
        spin.misses += 1
    spin.rest = (1 << spin.misses) - 1
    spin.too_late = spin.longer


cdef void slept(Spin *spin, long long nanoseconds) noexcept:
    """Take note of a wait without looking, or after it: one so short, wake-up included, would have been a hit.

    From then on a look of a thread that waits alone lasts a budget longer, until a wait is longer again.
    """
    if nanoseconds >= 2 * spin.budget:
        spin.stretched = False
    elif not spin.too_late:
        spin.misses = spin.rest = 0
        spin.stretched = True


cdef void begin_round(Spin *spin, Round *round, int fd, double deadline) noexcept nogil:
    """Begin a wait, until a deadline (seconds, 0: none) at the latest.

    `missed` or `hit` must be told of each time that the thread has looked at that descriptor.
    """
    cdef bint apart = spin.placement == UNKNOWN or spin.placement == APART
    round.misses = 0
    round.fd = fd
    round.limit = monotonic() + (spin.budget if apart else SHARED_TIMES * spin.budget)
    if spin.longer:
        round.limit += spin.budget
    if deadline != 0 and round.limit > deadline * 1e9:
        round.limit = <long long> (deadline * 1e9)
    round.ran_another = False


cdef bint missed(Spin *spin, Round *round) noexcept nogil:
    """Nothing was there: let others run, and say whether to look again."""
    cdef long long before
    round.misses += 1
    if spin.budget > 0 and spin.placement == APART and round.misses % MISSES_APART != 0:
        round.ran_another = False
        return True
    before = monotonic()
    if before > round.limit and round.misses > 1:  # one yield there is always: a peer on this processor can answer then
        return False
    if round.misses == 1 and spin.may_leave and (
        spin.placement == LEAVING or (spin.placement == SHARED and spin.hits >= spin.patience)
    ):
        leave(spin, round.fd)
    sched_yield()
    round.ran_another = monotonic() - before > EMPTY_YIELD
    return True


cdef inline void leave(Spin *spin, int fd) noexcept nogil:
    """Ask in one wait whether to step aside, and do it in the next one: both together take so long that the peer would
    have gone to sleep.
    """
    if spin.placement == SHARED and may_step_aside(fd):
        spin.placement = LEAVING
        return
    if spin.placement == LEAVING:
        spin.steps += step_aside()
        if spin.patience < spin.longest_patience:
            spin.patience *= 2  # it may not have helped
    elif spin.patience < min(BUSY_PATIENCE, spin.longest_patience):
        spin.patience *= 2  # asking costs as much as two calls
    spin.placement, spin.hits = UNKNOWN, 0


cdef void hit(Spin *spin, Round *round) noexcept nogil:
    """Something was there: take note of where it came from."""
    if round.misses == 0:
        return
    if round.ran_another:
        if is_near(spin):
            spin.hits += 1
        else:
            spin.placement, spin.hits = SHARED, 1
    elif spin.placement == UNKNOWN:
        spin.placement, spin.hits = APART, MIN_APART
    elif is_near(spin):
        spin.placement, spin.hits = PARTING, 1
    elif spin.hits < LONG_APART:
        spin.hits += 1
        if spin.hits >= MIN_APART:
            spin.placement = APART
    else:
        spin.patience = FIRST_PATIENCE  # stepping aside has helped


cdef void begin_wait() noexcept:
    """This thread is about to sleep until bytes come; `end_wait` must follow."""
    global waiting_threads
    waiting_threads += 1


cdef void end_wait() noexcept:
    global waiting_threads
    assert waiting_threads > 0, "end_wait is for who has begun"
    waiting_threads -= 1


cdef bint is_crowd() noexcept:
    """Whether as many threads of this process wait for bytes as may look; one more sleeps at once."""
    return spinners + waiting_threads >= MOST_SPINNING


cdef bint may_yield() noexcept:
    """Whether a thread of a crowd that has asked yields and looks before it sleeps: the answer may be there.

    Not while some thread computes, because that one would get a whole slice of time each time.
    """
    return monotonic() >= yields_from


cdef void end_turn() noexcept nogil:
    """This thread of a crowd has given up the GIL: whoever has bytes may take it."""
    clear_turn()


cdef long long await_turn() noexcept nogil:
    """This thread of a crowd will take the GIL next: wait, within bounds, while another one is about to.

    Returns the time, for `took_turn`.
    """
    cdef long long time = monotonic()
    cdef int _
    for _ in range(MOST_ASIDE):
        if begin_turn(time, TURN):
            break
        sched_yield()
        time = monotonic()
    return time


cdef void took_turn(long long since) noexcept:
    """Take note of how long the GIL took: while somebody computes, until his switch interval is over."""
    global yields_from
    cdef long long time = monotonic()
    if time - since > LONG_TURN:
        yields_from = time + RESTS * (time - since)
