# Looking again instead of sleeping: when it pays, and for how long.


# From which processor the peer has been answering; the table of transitions is at the head of `_spin.pyx`.
cdef enum Placement:
    UNKNOWN, SHARED, LEAVING, PARTING, APART


# Whether looking again and again for bytes, instead of sleeping, has been paying for this waiter.
cdef struct Spin:
    long long budget  # nanoseconds to look before sleeping; 0: yield once
    int misses  # in a row
    int rest  # waits to sleep through before the next try
    Placement placement
    int hits  # in a row that say so
    int patience  # so many on a shared processor are borne before this thread steps aside
    int longest_patience  # to which it grows while that does not help
    int steps  # how often it did
    bint stretched  # a sleep was so short that a longer look would have paid
    bint longer, too_late  # this look lasts longer, then; not even that was long enough
    bint may_leave  # whether it does so: the peer looks as well, and does not step aside itself


# One wait of a thread that looks.
cdef struct Round:
    int misses, fd
    long long limit  # when to give up, nanoseconds
    bint ran_another  # after the last miss somebody else ran on this processor


cdef Spin spin_of(int microseconds) noexcept
cdef Spin bulk_spin_of(int microseconds) noexcept
cdef void leave_shared_cpu(Spin *spin) noexcept
cdef void end_spins(Spin *spin) noexcept
cdef bint begin_spin(Spin *spin) noexcept
cdef void end_spin(Spin *spin, bint hit) noexcept
cdef void slept(Spin *spin, long long nanoseconds) noexcept
cdef void begin_round(Spin *spin, Round *round, int fd, double deadline) noexcept nogil
cdef bint missed(Spin *spin, Round *round) noexcept nogil
cdef void hit(Spin *spin, Round *round) noexcept nogil
cdef void begin_wait() noexcept
cdef void end_wait() noexcept
cdef bint is_crowd() noexcept
cdef bint may_yield() noexcept
cdef void end_turn() noexcept nogil
cdef long long await_turn() noexcept nogil
cdef void took_turn(long long since) noexcept
