"""Looking again instead of sleeping: whether to, for how long, and on which processor.

Who looks brings the system call, and tells what came of it; of descriptors this knows which processor spoke last.

Rule 1: who looks yields the processor after each miss, so that two ends on one processor take turns. It is bounded in
        time and in the number of threads that do it, and given up for longer and longer while it does not pay. Two to
        four threads of a process make up to three times the calls when they all look, because nobody is woken up.
Rule 2: a thread whose peer looks as well, and answers from this thread's own processor time after time, steps aside
        when another processor is idle. A wake-up puts both ends on one processor, where a call takes twice as long;
        what parts two threads that never sleep then is the system's next balancing, many milliseconds later.
Rule 3: the processors that a thread may use are what they were before; if that is a single one, it stays there.
Rule 4: the counters of this process change under the GIL only.
"""

from fastpyro._posix cimport CLOCK_MONOTONIC, clock_gettime, sched_yield, timespec

import os

cdef extern from *:
    """
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
    bint may_step_aside(int fd) noexcept nogil
    int step_aside() noexcept nogil

cdef enum:
    MOST_LOOKING = 4  # threads; from six on they wait for the GIL, and who sleeps at once gets on better
    MOST_MISSES = 6  # in a row; then 2 ** 6 waits pass between two tries
    EMPTY_YIELD = 1500  # nanoseconds that a yield takes at the most when there is nobody to yield to
    FIRST_PATIENCE = 8  # hits on a shared processor before stepping aside, which costs as much as ten of them
    LONGEST_PATIENCE = 16384
    APART = 32  # hits in a row from another processor; then it need not be yielded after each miss, nor looked longer
    LONG_APART = 64  # and then stepping aside has helped
    MISSES_APART = 4  # between two yields then
    SHARED_TIMES = 4  # budgets that a look lasts on a shared processor, of which it takes little; a peer that steps
    #                   aside comes back late

cdef int waiting_threads = 0  # that wait for bytes now
cdef int spinners = 0  # threads of this process that look now
cdef int former_shared = 0, former_patience = FIRST_PATIENCE  # of the waiter that ended last


def _forget_threads():
    # In a forked child: the threads that waited or looked are the parent's.
    global waiting_threads, spinners
    waiting_threads = spinners = 0


os.register_at_fork(after_in_child=_forget_threads)


cdef long long monotonic() noexcept nogil:
    # Nanoseconds.
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return <long long> time.tv_sec * 1000000000 + time.tv_nsec


cdef Spin spin_of(int microseconds) noexcept:
    """The state of a waiter that has not looked yet."""
    return Spin(<long long> microseconds * 1000, 0, 0, 0, FIRST_PATIENCE, 0, False)


cdef void part(Spin *spin) noexcept:
    """Step aside for the peer from now on, who looks as well. What the last one found out about both still holds."""
    spin.parts = True
    spin.patience = former_patience
    if (spin.shared > 0) == (former_shared > 0):
        spin.shared = min(spin.shared + former_shared, spin.patience)


cdef void end_spins(Spin *spin) noexcept:
    """The waiter will not wait any more: leave what it found out to the next one."""
    global former_shared, former_patience
    if spin.parts:
        former_shared, former_patience = spin.shared, spin.patience


cdef bint begin_spin(Spin *spin) noexcept:
    """Whether to look before sleeping, this time; `end_spin` must follow when it says so."""
    global spinners
    if is_crowd():
        return False
    if spin.rest > 0:
        spin.rest -= 1
        return False
    spinners += 1
    return True


cdef void end_spin(Spin *spin, bint hit) noexcept:
    global spinners
    spinners -= 1
    if hit:
        spin.misses = 0
        return
    spin.patience = FIRST_PATIENCE  # the system will place both ends anew when they wake up
    if spin.misses < MOST_MISSES:
        spin.misses += 1
    spin.rest = (1 << spin.misses) - 1


cdef void slept(Spin *spin, long long nanoseconds) noexcept:
    """Take note of a wait without looking: one so short, wake-up included, would have been a hit."""
    if nanoseconds < 2 * spin.budget:
        spin.misses = spin.rest = 0


cdef void begin_look(Spin *spin, Look *look, int fd) noexcept nogil:
    """Begin a wait; `missed` or `hit` must be told of each time that the thread has looked at that descriptor."""
    cdef bint apart = spin.shared == 0 or spin.shared <= -APART
    look.misses = 0
    look.fd = fd
    look.limit = monotonic() + (spin.budget if apart else SHARED_TIMES * spin.budget)
    look.ran_another = False


cdef bint missed(Spin *spin, Look *look) noexcept nogil:
    """Nothing was there: let others run, and say whether to look again."""
    cdef long long before
    look.misses += 1
    if spin.shared <= -APART and look.misses % MISSES_APART != 0:
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
            spin.shared = 0
            if spin.patience < LONGEST_PATIENCE:
                spin.patience *= 2  # it may not have helped
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
    waiting_threads -= 1


cdef bint is_crowd() noexcept:
    """Whether as many threads of this process wait for bytes as may look; one more sleeps at once."""
    return spinners + waiting_threads >= MOST_LOOKING
