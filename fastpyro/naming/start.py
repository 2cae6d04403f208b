"""Starts name servers: the daemon that serves one, in this process, and the loop of the command line.

Each start function returns with everything listening; nothing answers until a request loop runs.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro.config import config
from fastpyro.constants import NAMESERVER_NAME
from fastpyro.errors import PyroError
from fastpyro.naming.broadcast import BroadcastServer
from fastpyro.naming.cleaner import AutoCleaner
from fastpyro.naming.name_server import NameServer
from fastpyro.naming.storage import Storage
from fastpyro.server.daemon import Daemon
from fastpyro.server.stop_signals import StopSignals
from fastpyro.transport.trusted_peers import hmac_key_of
from fastpyro.uri import URI

if TYPE_CHECKING:
    from typing import Self

__all__ = ["NameServerDaemon", "startNS", "startNSloop", "start_ns", "start_ns_loop"]

log = logger("fastpyro.naming")


class NameServerDaemon(Daemon):
    """A daemon that serves a name server under its well-known id, "Pyro.NameServer".

    Arguments: those of Daemon, where ``host`` is ``config.NS_HOST`` and ``port`` ``config.NS_PORT`` by default; ``storage``,
    "memory", "sql:<file>" or a storage object.
    Raises OSError when the address cannot be listened on, ValueError and NamingError for the storage.

    Attributes: ``name_server_class``, for subclasses; ``nameserver``, the NameServer; ``cleaner_thread``, the AutoCleaner or
    None. The last two are None after ``close``.
    """

    name_server_class: type[NameServer] = NameServer
    nameserver: NameServer | None = None
    cleaner_thread: AutoCleaner | None = None

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        unixsocket: str | None = None,
        nathost: str | None = None,
        natport: int | None = None,
        storage: str | Storage | None = None,
    ) -> None:
        super().__init__(
            host=config.NS_HOST if host is None else host,
            port=config.NS_PORT if port is None else port,
            unixsocket=unixsocket,
            nathost=nathost,
            natport=natport,
        )
        try:
            self.nameserver = self.name_server_class(storage)
            if config.SERVERTYPE == "multiplex":
                self.nameserver._hurry()
            self.register(self.nameserver, NAMESERVER_NAME)
            self.nameserver._register_self(self.uriFor(self.nameserver))
            if config.NS_AUTOCLEAN:
                self.cleaner_thread = AutoCleaner(self.nameserver)
                self.cleaner_thread.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop serving, end the cleaner and close the storage. May be called again."""
        super().close()
        cleaner, self.cleaner_thread = self.cleaner_thread, None
        if cleaner is not None:
            cleaner.stop()
            cleaner.join()
        nameserver, self.nameserver = self.nameserver, None
        if nameserver is not None:
            nameserver._close()

    def __enter__(self) -> Self:
        if self.nameserver is None:
            raise PyroError("cannot reuse this object: the name server is closed; make a new one")
        return self


def start_ns(
    host: str | None = None,
    port: int | None = None,
    enableBroadcast: bool = False,
    bchost: str | None = None,
    bcport: int | None = None,
    unixsocket: str | None = None,
    nathost: str | None = None,
    natport: int | None = None,
    storage: str | Storage | None = None,
) -> tuple[URI, NameServerDaemon, BroadcastServer | None]:
    """Make a name server, to be served with ``daemon.requestLoop()`` or in a loop of your own.

    Arguments: ``host`` and ``port`` (None: ``config.NS_HOST`` and ``config.NS_PORT``; 0: the system chooses a port), or
    ``unixsocket``, a path; ``enableBroadcast``: also make a responder for discovery, listening on ``bchost`` and ``bcport``
    (there is none for a Unix socket, and none for a loopback address unless ``bchost`` is given); ``nathost`` and
    ``natport`` to publish; ``storage``, "memory" or "sql:<file>".
    Returns the name server's URI, its daemon, and the responder or None. Close both in the end.
    Raises OSError when an address cannot be listened on, ValueError and NamingError for the storage.
    """
    daemon = NameServerDaemon(host, port, unixsocket, nathost, natport, storage)
    try:
        responder = None
        if enableBroadcast and _is_found_by_broadcast(daemon, bchost):
            # The internal address: whoever hears the answer is inside.
            is_ipv6 = daemon.sock.family == socket.AF_INET6
            responder = BroadcastServer(daemon.uriFor(NAMESERVER_NAME, nat=False), bchost, bcport, ipv6=is_ipv6)
    except BaseException:
        daemon.close()
        raise
    return daemon.uriFor(NAMESERVER_NAME), daemon, responder


def _is_found_by_broadcast(daemon: NameServerDaemon, bchost: str | None) -> bool:
    if daemon.sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    return bool(bchost) or not _listens_here_only(daemon)


def _listens_here_only(daemon: NameServerDaemon) -> bool:
    """Return whether only programs on this machine can reach the daemon."""
    if daemon.sock.family not in (socket.AF_INET, socket.AF_INET6):
        return True
    return ipaddress.ip_address(daemon.sock.getsockname()[0].partition("%")[0]).is_loopback


def _why_no_broadcast(daemon: NameServerDaemon) -> str:
    if daemon.sock.family not in (socket.AF_INET, socket.AF_INET6):
        return "a Unix socket is not found that way."
    return (
        f"only this machine can reach {daemon.sock.getsockname()[0]}. Listen on another address (-n or --host), or say "
        "where to answer broadcasts (--bchost)."
    )


def start_ns_loop(
    host: str | None = None,
    port: int | None = None,
    enableBroadcast: bool = False,
    bchost: str | None = None,
    bcport: int | None = None,
    unixsocket: str | None = None,
    nathost: str | None = None,
    natport: int | None = None,
    storage: str | Storage | None = None,
    loopCondition: Callable[[], bool] = lambda: True,
    hmac: str | bytes | None = None,
) -> None:
    """Make a name server, print where it is, and serve until Ctrl-C or until ``loopCondition()`` is false.

    ``hmac``: a key that clients must have, too. The other arguments, and what is raised, are those of ``start_ns``.
    """
    key = hmac_key_of(hmac)  # before anything is opened
    uri, daemon, responder = start_ns(
        host, port, enableBroadcast, bchost, bcport, unixsocket, nathost, natport, storage
    )
    daemon._pyroHmacKey = key
    with StopSignals(daemon) as signals:
        try:
            if responder is not None:
                responder.runInThread()
            elif enableBroadcast:
                print(f"No broadcast: {_why_no_broadcast(daemon)}", flush=True)
            _announce(uri, daemon, responder)
            signals.run(lambda: daemon.requestLoop(loopCondition))
        finally:
            if responder is not None:
                responder.close()
            daemon.close()
    print("NS shut down.", flush=True)


def _announce(uri: URI, daemon: NameServerDaemon, responder: BroadcastServer | None) -> None:
    assert daemon.nameserver is not None
    if responder is not None:
        print(f"Broadcast server running on {responder.locationStr}")
    existing = daemon.nameserver.count() - 1  # not our own
    if existing:
        print(f"Persistent store contains {existing} existing registrations.")
    is_unix = URI.isUnixsockLocation(daemon.locationStr)
    address = "Unix domain socket" if is_unix else daemon.sock.getsockname()[0]
    print(f"NS running on {daemon.locationStr} ({address})")
    if daemon.natLocationStr:
        print(f"internal URI = {daemon.uriFor(NAMESERVER_NAME, nat=False)}")
        print(f"external URI = {uri}")
    print(f"URI = {uri}", flush=True)
    if not _listens_here_only(daemon):
        print("Note: whoever can reach this address can register and remove names.", file=sys.stderr, flush=True)


def startNS(*arguments: Any, hmac: str | bytes | None = None, **keywords: Any) -> Any:
    """Pyro4's spelling of ``start_ns``; with ``hmac``, a key, its clients need the same one."""
    key = hmac_key_of(hmac)
    uri, daemon, responder = start_ns(*arguments, **keywords)
    daemon._pyroHmacKey = key
    return uri, daemon, responder


def startNSloop(*arguments: Any, hmac: str | bytes | None = None, **keywords: Any) -> None:
    """Pyro4's spelling of ``start_ns_loop``; with ``hmac``, a key, its clients need the same one."""
    keywords["hmac"] = hmac
    start_ns_loop(*arguments, **keywords)
