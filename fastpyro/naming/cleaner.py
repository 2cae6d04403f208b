"""Removes registrations whose programs have gone: connects to each location now and then, and counts the silence.

Off unless ``config.NS_AUTOCLEAN`` says how often. Knows of the name server only what it lists and how to remove a name.
"""

from __future__ import annotations

import threading
import time

from fastpyro import sockets
from fastpyro.config import config
from fastpyro.errors import PyroError
from fastpyro.lazy_logging import logger
from fastpyro.message_kinds import NAMESERVER_NAME
from fastpyro.naming.name_server import NameServer
from fastpyro.uri import URI

__all__ = ["AutoCleaner"]

log = logger("fastpyro.naming")

CONNECT_SECONDS = 2.0
"""How long one attempt to reach a location may take."""


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
        """Try each location once, and remove the registrations whose time is over."""
        by_location: dict[str, list[tuple[str, str]]] = {}
        uris: dict[str, URI] = {}
        for name, text in self.nameserver.list().items():
            uri = _uri_with_location(text)
            if uri is not None and name != NAMESERVER_NAME:
                location = str(uri.location)
                uris[location] = uri
                by_location.setdefault(location, []).append((name, text))
        self._unreachable_since = {
            location: since for location, since in self._unreachable_since.items() if location in uris
        }
        for location, uri in uris.items():
            if self._stopping.is_set():
                return
            if self._is_gone(location, uri):
                self._remove(location, by_location[location])

    def _is_gone(self, location: str, uri: URI) -> bool:
        try:
            sockets.connect(uri.host, uri.port, uri.sockname, CONNECT_SECONDS).close()
        except (OSError, ValueError):  # ValueError: a host name that cannot even be looked up
            since = self._unreachable_since.setdefault(location, time.monotonic())
            return time.monotonic() - since >= self.max_unreachable_time
        self._unreachable_since.pop(location, None)
        return False

    def _remove(self, location: str, registrations: list[tuple[str, str]]) -> None:
        self._unreachable_since.pop(location, None)
        for name, text in registrations:
            if self.nameserver._discard_if_unchanged(name, text):
                log.warning("removed %s: nobody answered at %s for %g s", name, location, self.max_unreachable_time)


def _uri_with_location(text: str) -> URI | None:
    try:
        uri = URI(text)
    except PyroError:
        return None
    return uri if uri.protocol == "PYRO" else None
