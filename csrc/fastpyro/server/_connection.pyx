"""The native half of a connection: what serving its calls needs to know of a client."""

from fastpyro.server._cost cimport STRANGER, begin_turn, end_turn, is_long
from fastpyro.transport._link cimport Link
from fastpyro._clock cimport monotonic


cdef class ConnectionCore:
    """What serving an ordinary request needs of a client."""

    def __init__(self, channel, peer_address):
        self.channel = channel
        self.peer_address = peer_address
        self.fd = channel.fileno() if hasattr(channel, "fileno") else -1
        self.instances = {}
        self.last_used = self.turn.ended = monotonic() * 1e-9
        self.turn.cost = STRANGER

    @property
    def channel(self):
        return self._channel

    @channel.setter
    def channel(self, channel):
        self._channel = channel
        self.link = channel if isinstance(channel, Link) else None

    def begin_call(self):
        """Note that a request is being served; ``end_call`` must follow, in whichever thread."""
        self.calls_running += 1

    def end_call(self):
        """Note that a request has been served."""
        self.calls_running -= 1
        self.last_used = monotonic() * 1e-9

    def begin_turn(self):
        """Note that what came on this connection is served now; ``end_turn`` must follow, in this thread."""
        begin_turn(&self.turn, monotonic() * 1e-9)

    def end_turn(self, bint alone):
        """Note what serving took. Returns whether it lasted longer than a turn.

        Arguments: ``alone``, whether everybody waited for this thread, also while it slept.
        """
        end_turn(&self.turn, self.handshaken, alone)
        return is_long(&self.turn)

    @property
    def cost(self):
        """Seconds that its last turns cost; below 0 while nobody knows (`_order`)."""
        return self.turn.cost

    @property
    def took(self):
        """Seconds that the last one lasted, whoever had the processor meanwhile."""
        return self.turn.took
