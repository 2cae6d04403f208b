# The native half of a connection: what serving its calls needs to know of a client.

from fastpyro.server._cost cimport TurnCost
from fastpyro.transport._link cimport Link


cdef class ConnectionCore:
    cdef readonly Link link
    cdef object _channel
    cdef readonly int fd
    cdef public object peer_address
    cdef public bint handshaken
    cdef public int read_holds  # how many requests keep it to themselves: nobody else may read from it
    cdef public bint oneway_apart  # a slow oneway request does not hold it, whatever object it uses: Pyro's rule
    cdef public bint waits_turn  # it has more requests in its buffer than were served at once
    cdef public bint serial_calls  # it has used an object of its session: its requests are served one by one
    cdef public int calls_running  # how many of its requests are being served
    cdef public double last_used
    cdef TurnCost turn
    cdef public dict instances
    cdef public object home  # whose thread alone reads and serves its requests (`homes`), or None
