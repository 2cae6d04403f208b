# What comes of one try to send or to receive, and of waiting until there is something to try.

from libc.errno cimport EAGAIN, EINTR, errno  # Linux and macOS have EWOULDBLOCK == EAGAIN
from libc.stdint cimport uint8_t

from fastpyro._posix cimport MSG_DONTWAIT, MSG_NOSIGNAL, iovec, msghdr, recv, send, sendmsg


cdef enum Outcome:
    FAILED = -1  # a try: its `failure` says why; a function that raises: it has raised
    DONE  # bytes have moved, or there is something to move
    NOTHING_YET  # no bytes, or no room, as long as there was time
    INTERRUPTED  # the wait was cut short by a signal, whose handler may have to run
    ENDED  # the peer sends nothing more


cdef struct Attempt:
    Outcome outcome
    int failure  # the system's number of the error, when it has FAILED
    Py_ssize_t count  # bytes, when it is DONE, else 0


cdef inline Attempt attempt_of(Py_ssize_t count, int flags) noexcept nogil:
    """What a system call's answer says; to be called before anything changes `errno`."""
    if count >= 0:
        return Attempt(DONE, 0, count)
    if errno == EAGAIN or (errno == EINTR and flags & MSG_DONTWAIT):
        return Attempt(NOTHING_YET, 0, 0)
    if errno == EINTR:
        return Attempt(INTERRUPTED, 0, 0)
    return Attempt(FAILED, errno, 0)


cdef inline Attempt send_once(int fd, const uint8_t *data, Py_ssize_t size, int flags) noexcept nogil:
    return attempt_of(send(fd, data, size, flags | MSG_NOSIGNAL), flags)


cdef inline Attempt send_parts_once(int fd, const msghdr *message, int flags) noexcept nogil:
    return attempt_of(sendmsg(fd, message, flags | MSG_NOSIGNAL), flags)


cdef inline Attempt receive_once(int fd, uint8_t *target, Py_ssize_t size, int flags) noexcept nogil:
    cdef Py_ssize_t count = recv(fd, target, size, flags | MSG_NOSIGNAL)
    return attempt_of(count, flags) if count != 0 else Attempt(ENDED, 0, 0)


cdef inline int take_off(iovec *parts, Py_ssize_t count) noexcept:
    """Make parts begin behind their first `count` bytes."""
    while count > 0:
        if <size_t> count < parts[0].iov_len:
            parts[0].iov_base = <uint8_t *> parts[0].iov_base + count
            parts[0].iov_len -= count
            return 0
        count -= parts[0].iov_len
        parts[0].iov_len = 0
        parts += 1
    return 0
