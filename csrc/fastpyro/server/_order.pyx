"""Whose turn it is among connections that are ready at the same time: whoever is quick goes first.

Rule 1: all go at once whose last requests were quick (`_cost`); of the others one of each kind, and then all are looked
        at again: one that is in its handshake, one whose first call is not known yet, and one whose requests take long.
Rule 2: among strangers it is first come, first served. Among those who are new it is that, too, every other time, and
        else the newest one: many who come together, with long calls, keep nobody waiting who comes later.
Rule 3: among those who take long it is the one whose last turn is longest ago.
Rule 4: a connection that takes long says so once, in its first turn or after many quick requests; the others' turn ends
        with that.
"""

from fastpyro.server._connection cimport ConnectionCore
from fastpyro.server._cost cimport NEW, STRANGER, TURN
from fastpyro.server._leader cimport Leadership
from fastpyro._clock cimport monotonic


def in_turn(list ready not None, dict connections not None, bint newest, Leadership leadership=None):
    """Return those of the ready descriptors that are to be served now; the others stay ready, and are found again.

    Arguments: ``connections`` by their descriptors; a descriptor that none of them has goes first. ``newest``, whether
    of those who are new the newest one comes, and not the oldest; ``leadership``, of a server with homes: it serves
    its own connections, and the one of the others that has waited longest is its ``other`` then.
    """
    cdef ConnectionCore connection, stranger = None, new = None, slow = None
    cdef list quick = []
    cdef Py_ssize_t index
    for index in range(len(ready)):
        found = connections.get(ready[index])
        if found is None:
            quick.append(ready[index])
            continue
        connection = found
        if connection.read_holds or connection.waits_turn:
            continue
        if leadership is not None and not leadership.may_serve(connection):
            continue
        if 0 <= connection.turn.cost <= TURN * 1e-6:
            quick.append(ready[index])
        elif connection.turn.cost == STRANGER:
            if stranger is None or connection.turn.ended < stranger.turn.ended:
                stranger = connection
        elif connection.turn.cost == NEW:
            if new is None or (connection.turn.ended > new.turn.ended) == newest:
                new = connection
        elif slow is None or connection.turn.ended < slow.turn.ended:
            slow = connection
    for one in (stranger, new, slow):
        if one is not None:
            connection = one
            connection.turn.ended = monotonic() * 1e-9
            quick.append(connection.fd)
    return quick
