# What both directions of the native codec agree on; `_codec.pyx` has the table. Numbers only: no module of its own.

# Levels of containers, objects and extensions in a message. All that reads or writes values counts them, so that the C
# stack is bounded: a level took 410 bytes of it at the most (x86-64); tests/test_depth.py goes as deep with 128 KB.
cdef enum:
    MAX_DEPTH = 100
    MAX_TEXT_DEPTH = 200  # of JSON and serpent; about where the serpent package stops

cdef enum:
    MAX_INTEGER_BYTES = 1793  # 4,300 decimal digits and their sign, Python's own limit for int <-> str

cdef enum:
    OUT_OF_BAND = 32768  # bytes from which on a buffer stands behind the values, where the message allows it

cdef enum:
    EXT_TUPLE = 1
    EXT_SET = 2
    EXT_FROZENSET = 3
    EXT_BYTEARRAY = 4
    EXT_INTEGER = 5
    EXT_COMPLEX = 6
    EXT_TEXT = 7
    EXT_DATETIME = 8
    EXT_DATE = 9
    EXT_TIME = 10
    EXT_TIMEDELTA = 11
    EXT_OBJECT = 12
    EXT_BUFFER = 14  # which buffer of the message
    EXT_FAILED = 13  # in a batch's results: the error that ended it
