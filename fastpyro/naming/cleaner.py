"""Removes registrations whose programs have gone: connects to each location now and then, and counts the silence.

Off unless ``config.NS_AUTOCLEAN`` says how often. It connects only to the machine from which a name was registered, or
anywhere for names that this process registered itself: nobody else chooses to whom a name server connects. Names of which
that is not known, because real Pyro wrote the file say, are looked at when they are registered again. Knows of the name
server only what it lists and how to remove a name.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import NamedTuple

from fastpyro._lazy_logging import logger
from fastpyro.config import config
from fastpyro.constants import NAMESERVER_NAME
from fastpyro.errors import PyroError
from fastpyro.naming.name_server import NameServer
from fastpyro.naming.origins import may_be_at
from fastpyro.naming.reachability import Target, addresses_of, reachable
from fastpyro.uri import URI

__all__ = ["AutoCleaner"]

log = logger("fastpyro.naming")

CONNECT_SECONDS = 2.0
"""How long one attempt to reach a location may take; many are made at once."""

RESOLVE_SECONDS = 5.0
"""How long finding the addresses of all host names may take."""


class AutoCleaner(threading.Thread):
    """A thread that looks after one name server's registrations.

    Arguments: ``nameserver``, a NameServer. Raises ValueError when ``config.NS_AUTOCLEAN`` is below
    ``min_autoclean_value`` seconds. A registration goes when its location could not be reached for
    ``max_unreachable_time`` seconds; ``PYRONAME`` and ``PYROMETA`` registrations have no location and stay.
    """

    min_autoclean_value = 3
    max_unreachable_time = 20.0
    loop_delay = 2.0
    override_autoclean_min = False

    def __init__(self, nameserver: NameServer) -> None:
        if not self.override_autoclean_min and self.min_autoclean_value > config.NS_AUTOCLEAN:
            raise ValueError(f"NS_AUTOCLEAN cannot be less than {self.min_autoclean_value} seconds")
        super().__init__(name="fastpyro-autoclean", daemon=True)
        self.nameserver = nameserver
        self.autoclean = config.NS_AUTOCLEAN
        self._stopping = threading.Event()
        self._unreachable_since: dict[str, float] = {}

    def stop(self) -> None:
        """End the thread after the attempt that runs now."""
        self._stopping.set()

    def run(self) -> None:
        pause = max(self.loop_delay, self.autoclean)
        while not self._stopping.wait(pause):
            try:
                self.clean()
            except Exception:
                # A storage that fails for a moment must not end the cleaning for good.
                log.exception("cleaning of the name server's registrations failed; it goes on later")

    def clean(self) -> None:
        """Try each location once, all together, and remove the registrations whose time is over."""
        places: dict[str, _Place] = {}
        for name, (text, origin) in self.nameserver._registrations().items():
            uri = _uri_with_location(text)
            if uri is not None and name != NAMESERVER_NAME:
                location = str(uri.location)
                place = places.setdefault(location, _Place(uri, set(), []))
                place.origins.add(origin)
                place.registrations.append((name, text))
        self._unreachable_since = {
            location: since for location, since in self._unreachable_since.items() if location in places
        }
        for location, is_alive in self._look_at(places).items():
            if not is_alive and self._is_over(location):
                self._remove(location, places[location].registrations)
            elif is_alive:
                self._unreachable_since.pop(location, None)

    def _look_at(self, places: dict[str, _Place]) -> dict[str, bool]:
        """Return whether somebody answers, of the places at which we may look; the others are left out."""
        outcome: dict[str, bool] = {}
        numeric = addresses_of({place.uri.host for place in places.values() if place.uri.host}, RESOLVE_SECONDS)
        targets: dict[tuple[str, str], Target] = {}
        for location, place in places.items():
            uri = place.uri
            found = numeric.get(uri.host or "", frozenset())
            if found is None or not any(may_be_at(uri, origin, found) for origin in place.origins):
                continue  # the resolver is silent, or it is not for whoever registered the name to send us there
            if uri.sockname:
                targets[location, ""] = (socket.AF_UNIX, uri.sockname)
            for address in found:
                targets[location, address] = (
                    socket.AF_INET6 if ":" in address else socket.AF_INET,
                    (address, uri.port),
                )
            if not uri.sockname and not found:
                outcome[location] = False  # no such host
        for (location, _), is_alive in reachable(targets, CONNECT_SECONDS, self._stopping.is_set).items():
            outcome[location] = outcome.get(location, False) or is_alive
        return outcome

    def _is_over(self, location: str) -> bool:
        since = self._unreachable_since.setdefault(location, time.monotonic())
        return time.monotonic() - since >= self.max_unreachable_time

    def _remove(self, location: str, registrations: list[tuple[str, str]]) -> None:
        self._unreachable_since.pop(location, None)
        for name, text in registrations:
            if self.nameserver._discard_if_unchanged(name, text):
                log.warning("removed %r: nobody answered at %r for %g s", name, location, self.max_unreachable_time)


class _Place(NamedTuple):
    """A location, who registered names there, and the names with their uris."""

    uri: URI
    origins: set[str | None]
    registrations: list[tuple[str, str]]


def _uri_with_location(text: str) -> URI | None:
    try:
        uri = URI(text)
    except PyroError:
        return None
    return uri if uri.protocol == "PYRO" else None
