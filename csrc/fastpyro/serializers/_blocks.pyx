"""Big blocks of memory for arrays that arrive, used again and again: bulk transfer waits for fresh memory to be filled.

A block is what a buffer-protocol view keeps alive; when the last view is gone its memory goes back to the pool.
Rule 1: memory is mapped, not written: it becomes resident as bytes arrive, whatever a message announced.
Rule 2: the pool holds no more than its limit; what has not been used for IDLE seconds goes back to the system.
Rule 3: one mutex guards the pool. Under it there is no Python object, and nothing waits: a block may die in any thread.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc

from fastpyro._posix cimport CLOCK_MONOTONIC, clock_gettime, sleep, timespec
from fastpyro._threads cimport (
    pthread_atfork, pthread_cond_init, pthread_cond_signal, pthread_cond_t, pthread_cond_wait, pthread_mutex_init,
    pthread_mutex_lock, pthread_mutex_t, pthread_mutex_unlock, start_thread,
)

cdef extern from *:
    """
    #include <sys/mman.h>
    #ifndef MAP_NORESERVE
    #define MAP_NORESERVE 0
    #endif
    #ifndef MAP_ANONYMOUS
    #define MAP_ANONYMOUS MAP_ANON
    #endif
    static void *fastpyro_map(size_t size) {
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        return memory == MAP_FAILED ? NULL : memory;
    }
    static void fastpyro_unmap(void *memory, size_t size) { munmap(memory, size); }
    """
    void *fastpyro_map(size_t size) nogil
    void fastpyro_unmap(void *memory, size_t size) nogil

cdef enum:
    SMALLEST = 65536  # bytes of a block; its capacity is this times 2 ** n or 3 * 2 ** n
    IDLE = 5  # seconds

cdef Py_ssize_t LARGEST = (<Py_ssize_t> 1) << 40


# A block of the pool. The list is in the order of their last use, the latest first.
cdef struct Free:
    uint8_t *data
    Py_ssize_t capacity
    long since  # monotonic seconds
    Free *next

cdef pthread_mutex_t mutex
cdef pthread_cond_t something_free
cdef Free *pool = NULL
cdef Py_ssize_t pooled = 0, limit = 268435456  # bytes
cdef bint cleaning = False
cdef Py_ssize_t hits = 0, misses = 0


cdef long seconds_now() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec


cdef Py_ssize_t capacity_for(Py_ssize_t size) noexcept:
    cdef Py_ssize_t capacity = SMALLEST
    while capacity < size:
        if capacity + capacity // 2 >= size:
            return capacity + capacity // 2
        capacity *= 2
    return capacity


@cython.final
@cython.freelist(8)
cdef class Block:
    """Writable memory of fixed size; made by ``take``. Supports the buffer protocol and ``len``."""

    def __cinit__(self):
        self.data = NULL
        self.size = self.capacity = 0

    def __dealloc__(self):
        if self.data != NULL:
            give_back(self.data, self.capacity)

    def __len__(self):
        return self.size

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.size, 0, flags)

    def __releasebuffer__(self, Py_buffer *view):
        pass


cdef Block take_block(Py_ssize_t size):
    """Return a block of so many bytes, with undefined contents. Raises MemoryError, ValueError for a negative size."""
    global pool, pooled, hits, misses
    cdef Block block = Block.__new__(Block)
    cdef Py_ssize_t capacity
    cdef Free *found = NULL
    cdef Free **place = &pool
    if size < 0:
        raise ValueError(f"a block has 0 bytes or more, not {size:,}")
    if size > LARGEST:
        raise MemoryError(f"a block of {size:,} bytes is more than there can be")
    capacity = capacity_for(size)
    pthread_mutex_lock(&mutex)
    while place[0] != NULL:
        if place[0].capacity == capacity:
            found = place[0]
            place[0] = found.next
            pooled -= capacity
            break
        place = &place[0].next
    if found != NULL:
        hits += 1
    else:
        misses += 1
    pthread_mutex_unlock(&mutex)
    if found != NULL:
        block.data = found.data
        free(found)
    else:
        block.data = <uint8_t *> fastpyro_map(capacity)
        if block.data == NULL:
            raise MemoryError(f"the system has no {capacity:,} bytes for a block")
    block.size = size
    block.capacity = capacity
    return block


cdef void give_back(uint8_t *data, Py_ssize_t capacity) noexcept:
    global pool, pooled, cleaning
    cdef Free *entry = NULL
    cdef Free *dropped = NULL
    if capacity <= limit:
        entry = <Free *> malloc(sizeof(Free))
    if entry == NULL:
        fastpyro_unmap(data, capacity)
        return
    entry[0] = Free(data, capacity, seconds_now(), NULL)
    pthread_mutex_lock(&mutex)
    entry.next = pool
    pool = entry
    pooled += capacity
    if pooled > limit:
        dropped = drop_last(limit, 0)
    if not cleaning:
        cleaning = start_thread(clean)
    pthread_cond_signal(&something_free)
    pthread_mutex_unlock(&mutex)
    unmap_all(dropped)


cdef Free *drop_last(Py_ssize_t most, long before) noexcept nogil:
    """Take out what has not been used since `before`, and the oldest beyond so many bytes. The mutex is held.

    Returns them for `unmap_all`, which takes long and is called without the mutex.
    """
    global pooled
    cdef Free **place = &pool
    cdef Free *entry
    cdef Free *dropped = NULL
    cdef Py_ssize_t kept = 0
    while place[0] != NULL:
        entry = place[0]
        if kept + entry.capacity <= most and entry.since >= before:
            kept += entry.capacity
            place = &entry.next
            continue
        place[0] = entry.next
        pooled -= entry.capacity
        entry.next = dropped
        dropped = entry
    return dropped


cdef void unmap_all(Free *entry) noexcept nogil:
    cdef Free *next_one
    while entry != NULL:
        next_one = entry.next
        fastpyro_unmap(entry.data, entry.capacity)
        free(entry)
        entry = next_one


cdef void *clean(void *unused) noexcept nogil:
    # The life of the thread that gives idle memory back to the system.
    cdef Free *dropped
    pthread_mutex_lock(&mutex)
    while True:
        while pool == NULL:
            pthread_cond_wait(&something_free, &mutex)
        pthread_mutex_unlock(&mutex)
        sleep(1)
        pthread_mutex_lock(&mutex)
        dropped = drop_last(limit, seconds_now() - IDLE)
        pthread_mutex_unlock(&mutex)
        unmap_all(dropped)
        pthread_mutex_lock(&mutex)


def take(Py_ssize_t size):
    """Return a Block of so many bytes, with undefined contents. Raises MemoryError, or ValueError for a bad size."""
    return take_block(size)


def set_limit(Py_ssize_t size):
    """Let the pool keep so many bytes at the most; 0: none."""
    global limit
    cdef Free *dropped
    if size < 0:
        raise ValueError(f"a limit of {size:,} bytes makes no sense; give 0 or more")
    pthread_mutex_lock(&mutex)
    limit = size
    dropped = drop_last(limit, 0)
    pthread_mutex_unlock(&mutex)
    unmap_all(dropped)


def statistics():
    """Return what the pool holds and did: a dict of "bytes", "blocks", "hits", "misses"."""
    cdef Py_ssize_t blocks = 0
    cdef Free *entry
    pthread_mutex_lock(&mutex)
    entry = pool
    while entry != NULL:
        blocks += 1
        entry = entry.next
    result = (pooled, blocks, hits, misses)
    pthread_mutex_unlock(&mutex)
    return dict(zip(("bytes", "blocks", "hits", "misses"), result))


cdef void begin_fork() noexcept nogil:
    pthread_mutex_lock(&mutex)


cdef void end_fork() noexcept nogil:
    pthread_mutex_unlock(&mutex)


cdef void start_afresh() noexcept nogil:
    # In the child: the pool is its own copy, the thread is the parent's.
    global cleaning
    pthread_mutex_init(&mutex, NULL)
    pthread_cond_init(&something_free, NULL)
    cleaning = False


pthread_mutex_init(&mutex, NULL)
pthread_cond_init(&something_free, NULL)
pthread_atfork(begin_fork, end_fork, start_afresh)
