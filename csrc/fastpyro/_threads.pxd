# What the two helper threads in C, of _pusher and _blocks, need: POSIX threads that touch no Python object.

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_attr_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *mutex, void *attributes)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)
    int pthread_cond_init(pthread_cond_t *condition, void *attributes)
    int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
    int pthread_cond_signal(pthread_cond_t *condition)
    int pthread_attr_init(pthread_attr_t *attributes)
    int pthread_attr_setdetachstate(pthread_attr_t *attributes, int state)
    int pthread_attr_setstacksize(pthread_attr_t *attributes, size_t size)
    int pthread_create(
        pthread_t *thread, pthread_attr_t *attributes, void *(*work)(void *) noexcept nogil, void *argument
    )
    int pthread_atfork(
        void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil, void (*child)() noexcept nogil
    )
    enum:
        PTHREAD_CREATE_DETACHED

cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass
    int sigfillset(sigset_t *set)
    int pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
    enum:
        SIG_SETMASK

cdef enum:
    STACK = 65536  # bytes; such a thread has a loop and a few system calls


cdef inline bint start_thread(void *(*work)(void *) noexcept nogil) noexcept nogil:
    """Start a detached thread that gets no signals: those are for the threads of the program. False when that fails."""
    cdef pthread_t thread
    cdef pthread_attr_t attributes
    cdef sigset_t every
    cdef sigset_t before
    cdef bint started
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED)
    pthread_attr_setstacksize(&attributes, STACK)
    sigfillset(&every)
    pthread_sigmask(SIG_SETMASK, &every, &before)
    started = pthread_create(&thread, &attributes, work, NULL) == 0
    pthread_sigmask(SIG_SETMASK, &before, NULL)
    return started
