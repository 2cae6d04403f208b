"""How a registered class becomes the instance that serves a call, as its `@behavior` says.

"single": one instance for each daemon; "session" (the default): one for each connection, forgotten when it ends;
"percall": a new one for each call. Instances are made when they are first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastpyro._mutex import Mutex
from fastpyro.errors import DaemonError

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection

__all__ = ["InstanceTable"]


class InstanceTable:
    """Finds or makes the instances of one daemon's registered classes. Safe among threads."""

    def __init__(self) -> None:
        self.singles: dict[type, Any] = {}
        self._creating = Mutex(reentrant=True)

    def has(self, cls: type, connection: Connection) -> bool:
        """Return whether an instance is there already for the calls of a connection."""
        return cls in connection.instances or cls in self.singles

    def get(self, cls: type, connection: Connection) -> Any:
        """Return the instance of ``cls`` for a call on ``connection``.

        Raises what the constructor raises, TypeError when an instance creator returns something else, and Postponed when
        another thread has to serve the call (`homes`).
        """
        mode, creator = getattr(cls, "_pyroInstancing", ("session", None))
        if mode == "percall":
            return _make(cls, creator)
        if mode == "session":
            connection.serial_calls = True  # from here on its requests are served one by one, so no lock
            made = cls in connection.instances
            if connection.homes is not None:
                connection.homes.settle(connection, made)
            if made:
                return connection.instances[cls]
            return connection.instances.setdefault(cls, _make(cls, creator))
        if mode != "single":
            raise DaemonError(f"invalid instance mode {mode!r} of class {cls.__qualname__}")
        if cls in self.singles:
            return self.singles[cls]
        with self._creating.guard():
            if cls not in self.singles:
                self.singles[cls] = _make(cls, creator)
            return self.singles[cls]


def _make(cls: type, creator: Any) -> Any:
    if creator is None:
        return cls()
    instance = creator(cls)
    if not isinstance(instance, cls):
        raise TypeError(
            f"instance creator returned object of different type: {type(instance).__name__}, not {cls.__name__}"
        )
    return instance
