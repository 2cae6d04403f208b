"""Dates, durations and time zones out of bytes, for `_decoder`. The bytes are hostile.

Rule 1: no zone is looked up anywhere but among those that `time_zones` has read.
"""

from cpython.datetime cimport date_new, import_datetime, timedelta_new, timezone_new
from libc.stdint cimport int32_t, int64_t, uint8_t

from fastpyro._byteorder cimport load16, load32

from fastpyro.errors import SerializeError
from fastpyro.values.time_zones import zone_of

import_datetime()

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1

cdef enum:
    MILLION = 1000000
    LONGEST_ZONE = 100  # characters of a key in an error

cdef int64_t DAY = 86400 * <int64_t> MILLION  # microseconds


cdef object day_at(bint is_date, const uint8_t *at):
    try:
        if is_date:
            return date_new(load16(at), at[2], at[3])
        # Only what a timedelta itself has: the C function adds up what it gets in ints, which would overflow.
        if load32(at + 4) >= 86400 or load32(at + 8) >= 1000000:
            raise SerializeError("invalid data: no duration: seconds or microseconds are too many")
        return timedelta_new(<int32_t> load32(at), <int> load32(at + 4), <int> load32(at + 8))
    except (ValueError, OverflowError) as error:
        raise SerializeError(f"invalid data: no date or duration: {error}") from None


cdef object fixed_zone(object offset, str name):
    cdef int overflow = 0
    cdef int64_t whole = PyLong_AsLongLongAndOverflow(offset, &overflow), seconds
    if overflow or not -DAY < whole < DAY:
        raise SerializeError("invalid data: no such time zone: an offset is less than a day")
    seconds = (whole + DAY) // MILLION  # of a day earlier
    delta = timedelta_new(-1, <int> seconds, <int> (whole + DAY - seconds * MILLION))
    return timezone_new(delta, name)


cdef object known_zone(str key):
    zone = zone_of(key)
    if zone is None:
        raise SerializeError(f"invalid data: no such time zone: {key[:LONGEST_ZONE]!r}")
    return zone
