"""Connections by the place they come from: who is oldest, and where most are from, are known without looking at all.

Rule 1: every operation takes about constant time, however many connections there are, since a stranger causes them.
        (Places are sorted by how many they have; there are no more numbers than the root of twice the connections.)
Rule 2: nothing else runs while one changes: containers are made first, since that may run destructors, which may drop
        connections; the rest is atomic under the GIL.
"""

from cpython.dict cimport PyDict_Keys, PyDict_Next, PyDict_Values
from cpython.object cimport PyObject

import socket


cdef class Crowd:
    """Some connections of a server, in the order in which they came.

    Attributes: ``by_fd``, the connections by their descriptors, to be read only.
    """

    cdef readonly dict by_fd
    cdef dict places  # of the connections, by their descriptors
    cdef dict of_place  # the connections of each place, by their descriptors
    cdef dict having  # by a number of connections, the places with so many

    def __cinit__(self):
        self.by_fd, self.places, self.of_place, self.having = {}, {}, {}, {}

    def __len__(self):
        return len(self.by_fd)

    def __contains__(self, fd):
        return fd in self.by_fd

    def values(self):
        """All of them."""
        return PyDict_Values(self.by_fd)

    def add(self, connection, place):
        """Take a connection in, which must not be here; behind all others.

        Argument: ``place``, what `place_of` says.
        """
        cdef dict own, fresh_own = {}, fresh_group = {}
        fd = connection.fd
        own = self.of_place.setdefault(place, fresh_own)
        self.by_fd[fd] = own[fd] = connection
        self.places[fd] = place
        self.move(place, len(own) - 1, len(own), fresh_group)

    def remove(self, fd):
        """Forget the connection with that descriptor, if it is here."""
        cdef dict own, fresh_group = {}
        gone = self.by_fd.pop(fd, None)
        if gone is None:
            return
        place = self.places.pop(fd)
        own = self.of_place[place]
        del own[fd]
        self.move(place, len(own) + 1, len(own), fresh_group)
        if not own:
            del self.of_place[place]

    cdef int move(self, place, Py_ssize_t before, Py_ssize_t now, dict fresh) except -1:
        cdef dict former
        if before:
            former = self.having[before]
            del former[place]
            if not former:
                del self.having[before]
        if now:
            (<dict> self.having.setdefault(now, fresh))[place] = None
        return 0

    def put_last(self, list connections not None):
        """Let connections be the newest ones of their place."""
        cdef dict own
        for connection in connections:
            fd = connection.fd
            if self.by_fd.get(fd) is connection:
                own = self.of_place[self.places[fd]]
                own[fd] = own.pop(fd)

    def clear(self):
        """Forget all."""
        for fd in PyDict_Keys(self.by_fd):
            self.remove(fd)

    def oldest(self):
        """Return the first one, None when there are none."""
        cdef PyObject *key = NULL
        cdef PyObject *first = NULL
        cdef Py_ssize_t position = 0
        return <object> first if PyDict_Next(self.by_fd, &position, &key, &first) else None

    def oldest_of_most(self):
        """Return the first one from the place that most of them are from; None when there are none."""
        cdef list found = self.largest(1, 1)
        return found[0][1][0] if found else None

    def largest(self, Py_ssize_t places, Py_ssize_t each):
        """Return how many come from each of some places, those with most, and the first few of them."""
        cdef list found = [], owns = [], some
        cdef dict own, group
        cdef PyObject *place = NULL
        cdef PyObject *nothing = NULL
        cdef Py_ssize_t position
        for count in sorted(PyDict_Keys(self.having), reverse=True):
            group = self.having.get(count)
            position = 0
            while group is not None and len(owns) < places and PyDict_Next(group, &position, &place, &nothing):
                owns.append(self.of_place[<object> place])
        for own in owns:
            some = first_of(own, each)
            if some:
                found.append((len(own), some))
        return found


cdef list first_of(dict own, Py_ssize_t most):
    cdef list some = []
    cdef PyObject *key = NULL
    cdef PyObject *connection = NULL
    cdef Py_ssize_t position = 0
    while len(some) < most and PyDict_Next(own, &position, &key, &connection):
        some.append(<object> connection)
    return some


def place_of(connection):
    """Return the address; of IPv6 the network, in which one client may have any."""
    cdef object address = connection.address
    if ":" not in address or address.startswith("::ffff:"):  # which is an IPv4 one
        return address
    return socket.inet_pton(socket.AF_INET6, address.partition("%")[0])[:8]
