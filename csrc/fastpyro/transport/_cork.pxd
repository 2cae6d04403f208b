# Sends that may wait for company.

cdef int MORE  # the flag for `send`: more will follow soon; 0 where the system has none

cdef int push_soon(int fd, unsigned long *promised) noexcept
cdef void push_now(int fd, unsigned long *promised) noexcept
cdef void forget_push(int fd) noexcept
