# Dates, durations and time zones out of checked bytes; SerializeError for what is none.

from libc.stdint cimport uint8_t, uint32_t

cdef object day_at(bint is_date, const uint8_t *at)  # precondition: 4 bytes of a date, or 12 of a timedelta, are there
cdef object fixed_zone(object offset, str name)  # microseconds, an int; name or None
cdef object known_zone(str key)


cdef inline int bounded(uint32_t microseconds) noexcept:
    return <int> microseconds if microseconds < 1000000 else 1000000  # refused by datetime itself
