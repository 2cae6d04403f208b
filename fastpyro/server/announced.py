"""The names under which a daemon's objects were announced: they are removed when it ends, once, and within bounds."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex
from fastpyro.errors import CommunicationError, PyroError

if TYPE_CHECKING:
    from fastpyro.uri import URI

__all__ = ["Announced"]

log = logger("fastpyro.daemon")

WITHDRAW_SECONDS = 2.0
"""How long a name server may take for a name. When it is away it is asked no more."""


class Announced:
    """Names, with the name servers (proxies) that have them, and what they mean there.

    Attribute: ``due``, whether they are to be removed when the daemon ends; a plain end leaves them, as Pyro's does.
    """

    def __init__(self) -> None:
        self.due = False
        self._names: list[tuple[Any, str, URI]] = []
        self._turn = Mutex(what="the list of names")

    def add(self, name_server: Any, name: str, uri: URI) -> None:
        """Note that a name was registered."""
        self._names.append((name_server, name, uri))

    def withdraw_soon(self) -> None:
        """As ``withdraw``, in another thread, if there is anything to do and a thread to be had."""
        self.due = True
        if self._names:
            try:
                threading.Thread(target=self.withdraw, name="fastpyro-withdraw", daemon=True).start()
            except RuntimeError:
                log.warning("no thread can be started to remove names from the name server now")

    def withdraw(self) -> None:
        """Remove the names that still mean what was registered. What goes wrong is logged."""
        with self._turn.guard():
            while self._names:
                name_server, name, uri = self._names.pop()
                try:
                    with copy.copy(name_server) as own:  # of this thread, as Pyro5's proxies want it
                        own._pyroTimeout = WITHDRAW_SECONDS
                        if own.lookup(name) == uri:
                            own.remove(name)
                except CommunicationError as error:
                    log.warning("the name %s stays in the name server, which does not answer: %s", name, error)
                    self._names = [entry for entry in self._names if entry[0] is not name_server]
                except PyroError as error:  # somebody has removed it
                    log.info("the name %s is not in the name server any more: %s", name, error)
