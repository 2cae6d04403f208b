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
"""

from fastpyro._posix cimport CLOCK_MONOTONIC, clock_gettime, sched_yield, timespec

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
    MOST_LOOKING = 4  # threads; from six on they wait for the GIL, and who sleeps at once gets on better
    MOST_MISSES = 6  # in a row; then 2 ** 6 waits pass between two tries
    EMPTY_YIELD = 1500  # nanoseconds that a yield takes at the most when there is nobody to yield to
    FIRST_PATIENCE = 8  # hits on a shared processor before stepping aside, which costs as much as ten of them
    LONGEST_PATIENCE = 16384
    BUSY_PATIENCE = 64  # hits between two looks for an idle processor, while there is none
    LONGEST_BULK_PATIENCE = 16  # of who moves something big, where a hit is worth as much as some twenty small ones
    APART = 32  # hits in a row from another processor; then it need not be yielded after each miss, nor looked longer
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
cdef Spin fresh = Spin(0, 0, 0, 0, FIRST_PATIENCE, LONGEST_PATIENCE, 0, False, False, False, False)
cdef int former_shared = 0, former_patience = FIRST_PATIENCE  # of the waiter that ended last


def _forget_threads():
    # In a forked child: the threads that waited or looked are the parent's.
    global waiting_threads, spinners
    waiting_threads = spinners = 0
    clear_turn()


os.register_at_fork(after_in_child=_forget_threads)


cdef long long monotonic() noexcept nogil:
    # Nanoseconds.
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return <long long> time.tv_sec * 1000000000 + time.tv_nsec


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


cdef void part(Spin *spin) noexcept:
    """Step aside for the peer from now on, who looks as well. What the last one found out about both still holds."""
    spin.parts = True
    spin.patience = former_patience
    if (spin.shared > 0) == (former_shared > 0):
        if former_shared > former_patience:  # another processor was idle a moment ago: the step itself is left to do
            spin.shared = former_shared
        else:
            spin.shared = min(spin.shared + former_shared, spin.patience)


cdef void end_spins(Spin *spin) noexcept:
    """The waiter will not wait any more: leave what it found out to the next one."""
    global former_shared, former_patience
    if spin.parts:
        former_shared, former_patience = spin.shared, spin.patience


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


cdef void begin_look(Spin *spin, Look *look, int fd, double deadline) noexcept nogil:
    """Begin a wait, until a deadline (seconds, 0: none) at the latest.

    `missed` or `hit` must be told of each time that the thread has looked at that descriptor.
    """
    cdef bint apart = spin.shared == 0 or spin.shared <= -APART
    look.misses = 0
    look.fd = fd
    look.limit = monotonic() + (spin.budget if apart else SHARED_TIMES * spin.budget)
    if spin.longer:
        look.limit += spin.budget
    if deadline != 0 and look.limit > deadline * 1e9:
        look.limit = <long long> (deadline * 1e9)
    look.ran_another = False


cdef bint missed(Spin *spin, Look *look) noexcept nogil:
    """Nothing was there: let others run, and say whether to look again."""
    cdef long long before
    look.misses += 1
    if spin.budget > 0 and spin.shared <= -APART and look.misses % MISSES_APART != 0:
        look.ran_another = False
        return True
    before = monotonic()
    if before > look.limit and look.misses > 1:  # one yield there is always: a peer on this processor can answer then
        return False
    if spin.parts and spin.shared >= spin.patience and look.misses == 1:
        if spin.shared == spin.patience and may_step_aside(look.fd):  # in one wait, the step itself in the next one:
            spin.shared += 1  # together they take so long that the peer would have gone to sleep
        else:
            if spin.shared > spin.patience:
                spin.steps += step_aside()
                if spin.patience < spin.longest_patience:
                    spin.patience *= 2  # it may not have helped
            elif spin.patience < min(BUSY_PATIENCE, spin.longest_patience):
                spin.patience *= 2  # asking costs as much as two calls
            spin.shared = 0
    sched_yield()
    look.ran_another = monotonic() - before > EMPTY_YIELD
    return True


cdef void hit(Spin *spin, Look *look) noexcept nogil:
    """Something was there: take note of where it came from."""
    if look.misses == 0:
        return
    if look.ran_another:
        spin.shared = spin.shared + 1 if spin.shared > 0 else 1
    elif spin.shared == 0:
        spin.shared = -APART
    elif spin.shared > 0:
        spin.shared = -1
    elif spin.shared > -LONG_APART:
        spin.shared -= 1
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
    return spinners + waiting_threads >= MOST_LOOKING


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
