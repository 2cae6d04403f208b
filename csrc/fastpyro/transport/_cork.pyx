"""Small messages in quick succession over TCP leave together: the system collects them, this module has them pushed.

A sender that expects company sends with the flag MORE, so that the system keeps the bytes until a segment is full or a
send without the flag follows, and promises a push: a thread without Python's lock pushes after DELAY, at the latest,
and who begins to wait for an answer pushes himself.
The bytes are the system's from the beginning: nothing is lost when the process ends, and errors show as ever.

Rule 1: the thread touches no Python object and never takes the GIL; it sleeps for good soon after the last promise.
Rule 2: a descriptor is forgotten before it is closed: a push must not reach somebody else's connection.
"""

from fastpyro._posix cimport usleep
from fastpyro._threads cimport (
    pthread_atfork, pthread_cond_init, pthread_cond_signal, pthread_cond_t, pthread_cond_wait, pthread_mutex_init,
    pthread_mutex_lock, pthread_mutex_t, pthread_mutex_unlock, start_thread,
)

cdef extern from *:
    """
    #include <sys/socket.h>
    #include <netinet/in.h>
    #include <netinet/tcp.h>
    #ifdef MSG_MORE
    #define FASTPYRO_MORE MSG_MORE
    #else
    #define FASTPYRO_MORE 0
    #endif
    static void fastpyro_push(int fd) {
        int on = 1;  /* setting it again pushes what the system has collected */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    """
    int FASTPYRO_MORE
    void fastpyro_push(int fd) noexcept nogil

cdef enum:
    DELAY = 100  # microseconds
    MOST_IDLE = 10  # rounds without a promise before the thread sleeps for good; to wake it costs as much as a call
    MOST_PROMISED = 64  # connections; beyond it a push comes at once

cdef int MORE = FASTPYRO_MORE
cdef pthread_mutex_t mutex
cdef pthread_cond_t promised_something
cdef int promised[MOST_PROMISED]
cdef int count = 0
cdef unsigned long round_number = 1  # of pushes; a promise holds for the round in which it was given
cdef bint running = False, sleeping = False


cdef void *push_promised(void *unused) noexcept nogil:
    global count, round_number, sleeping
    cdef int index, idle = 0
    pthread_mutex_lock(&mutex)
    while True:
        idle = idle + 1 if count == 0 else 0
        if idle > MOST_IDLE:
            sleeping = True
            while count == 0:
                pthread_cond_wait(&promised_something, &mutex)
            sleeping = False
        pthread_mutex_unlock(&mutex)
        usleep(DELAY)
        pthread_mutex_lock(&mutex)
        for index in range(count):
            if promised[index] >= 0:
                fastpyro_push(promised[index])
        count = 0
        round_number += 1


cdef int push_soon(int fd, unsigned long *last_promise) noexcept:
    """Have collected bytes pushed soon; called after sending them. `last_promise` is the sender's, 0 at first."""
    global count, running
    pthread_mutex_lock(&mutex)
    if last_promise[0] != round_number:
        if not running:
            running = start_thread(push_promised)
        if not running or count == MOST_PROMISED:
            fastpyro_push(fd)
        else:
            promised[count] = fd
            count += 1
            last_promise[0] = round_number
            if sleeping and count == 1:
                pthread_cond_signal(&promised_something)
    pthread_mutex_unlock(&mutex)
    return 0


cdef void push_now(int fd, unsigned long *last_promise) noexcept:
    """Push what a promise is open for; nothing to do when the thread has kept it."""
    cdef int index
    if last_promise[0] == 0:
        return
    pthread_mutex_lock(&mutex)
    if last_promise[0] == round_number:
        for index in range(count):
            if promised[index] == fd:
                promised[index] = -1
        fastpyro_push(fd)
    last_promise[0] = 0
    pthread_mutex_unlock(&mutex)


cdef void forget_push(int fd) noexcept:
    """Promise nothing for a descriptor any more; called before it is closed."""
    cdef int index
    pthread_mutex_lock(&mutex)
    for index in range(count):
        if promised[index] == fd:
            promised[index] = -1
    pthread_mutex_unlock(&mutex)


cdef void begin_fork() noexcept nogil:
    pthread_mutex_lock(&mutex)


cdef void end_fork() noexcept nogil:
    pthread_mutex_unlock(&mutex)


cdef void start_afresh() noexcept nogil:
    # In the child: the thread is the parent's, and so are the connections.
    global running, sleeping, count
    pthread_mutex_init(&mutex, NULL)
    pthread_cond_init(&promised_something, NULL)
    running = sleeping = False
    count = 0


pthread_mutex_init(&mutex, NULL)
pthread_cond_init(&promised_something, NULL)
pthread_atfork(begin_fork, end_fork, start_afresh)
