"""What the values of a JSON text would take, found out before the standard library makes them of it. Sans-I/O.

Its reader has no limits of its own but Python's for recursion, which does not know how large a thread's stack is. This
looks at each byte once and makes nothing; whether the text is JSON at all is left to the reader.
"""

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t

from fastpyro.serializers._extensions cimport MAX_TEXT_DEPTH
from fastpyro.serializers._pauses cimport Pauses, begin_pauses, pause_if_due
from fastpyro.values._memory_budget cimport (
    COST_CONTAINER, COST_NUMBER, COST_TEXT, Budget, begin_budget, end_budget, take_memory,
)
from fastpyro.values._tables cimport dict_cost

from fastpyro.errors import SerializeError

cdef enum:
    MOST_NUMBER = 5000  # characters; Python's own limit is 4,300 digits of an int, unless somebody lifts it
    COST_ELEMENT = 10  # bytes of a list that grows
    COST_ITEM = 60  # bytes of a dict's table for each of its items, at the most


def check_json(data):
    """Look at a JSON text in a contiguous buffer. Raises SerializeError if reading it would take too much."""
    cdef Py_buffer view
    cdef Budget budget
    cdef Pauses pauses
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        begin_budget(&budget, data, view.len)
        begin_pauses(&pauses, data, <const uint8_t *> view.buf, <const uint8_t *> view.buf + view.len)
        scan(&budget, &pauses, <const uint8_t *> view.buf, <const uint8_t *> view.buf + view.len)
        end_budget(&budget)
    finally:
        PyBuffer_Release(&view)


cdef int scan(Budget *budget, Pauses *pauses, const uint8_t *at, const uint8_t *end) except -1:
    cdef bint in_dict[MAX_TEXT_DEPTH + 2]
    cdef int depth = 0
    cdef uint8_t code
    cdef const uint8_t *begin
    in_dict[0] = False
    while at < end:
        code = at[0]
        if code == c'"':
            at = skip_text(budget, at, end)
            continue
        if c"0" <= code <= c"9" or code == c"-":
            begin = at
            while at < end and (c"0" <= at[0] <= c"9" or at[0] in (c"-", c"+", c".", c"e", c"E")):
                at += 1
            if at - begin > MOST_NUMBER:
                raise SerializeError(f"a number of {at - begin:,} characters; the limit is {MOST_NUMBER:,}")
            if at - begin > 2:  # Python keeps the small ones
                take_memory(budget, COST_NUMBER + (at - begin) // 2)
            continue
        if code == c"[" or code == c"{":
            depth += 1
            if depth > MAX_TEXT_DEPTH:
                raise SerializeError(f"values are nested deeper than {MAX_TEXT_DEPTH} levels")
            in_dict[depth] = code == c"{"
            take_memory(budget, dict_cost(not is_empty(at + 1, end)) if in_dict[depth] else COST_CONTAINER)
        elif (code == c"]" or code == c"}") and depth > 0:
            depth -= 1
        elif code == c",":
            pause_if_due(pauses, at)
            take_memory(budget, COST_ITEM if in_dict[depth] else COST_ELEMENT)
        at += 1
    return 0


cdef bint is_empty(const uint8_t *at, const uint8_t *end) noexcept:
    return at < end and at[0] == c"}"


cdef const uint8_t *skip_text(Budget *budget, const uint8_t *at, const uint8_t *end) except NULL:
    # Precondition: a quote.
    cdef const uint8_t *begin = at
    cdef bint wide = False
    at += 1
    while at < end and at[0] != c'"':
        if at[0] == c"\\":
            wide = True  # perhaps
            at += 1
        elif at[0] > 127:
            wide = True
        at += 1
    if at >= end:
        return end
    take_memory(budget, COST_TEXT + (at - begin) * (4 if wide else 1))
    return at + 1
