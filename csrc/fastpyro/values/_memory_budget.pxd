# What the objects of one message may take.

# Bytes that Python takes for a value beside those of its contents, in whole steps of its allocator.
cdef enum:
    COST_NUMBER = 32  # a float, an int of 30 bits
    COST_TEXT = 56  # a str or bytes
    COST_CONTAINER = 64  # a list or tuple
    COST_SLOT = 8  # of a list or tuple
    COST_MOMENT = 64  # a date, datetime, duration
    COST_ZONE = 160  # an offset and its name
    COST_OBJECT = 256  # an object of some class, its contents apart
    COST_BUFFER = 384  # a memoryview of one


cdef struct Budget:
    Py_ssize_t left  # bytes
    Py_ssize_t arrived  # bytes that the message came in
    Py_ssize_t hashing  # parts of keys that may still be hashed and compared


# Begin to read `data`, whose buffer has so many bytes; it may have come compressed.
cdef int begin_budget(Budget *budget, object data, Py_ssize_t size) except -1
cdef int refuse_memory(const Budget *budget) except -1
# After a message: `last_excess` of this thread is what its values take beyond what its bytes explain.
cdef void end_budget(const Budget *budget) noexcept
# What objects take that are built without a budget: noted in this thread, and charged by whoever had them built.
cdef void note_beside(Py_ssize_t size) noexcept
cdef int charge_beside(Budget *budget) except -1
cpdef int charge_late() except -1
cpdef Py_ssize_t last_excess() noexcept
cpdef void note_excess(Py_ssize_t excess) noexcept


cdef inline int take_memory(Budget *budget, Py_ssize_t size) except -1:
    budget.left -= size
    return refuse_memory(budget) if budget.left < 0 else 0
