"""Finding a name server, and what it knows: names to URIs. Client side only.

Looks at the given host, or at NS_HOST; asks by broadcast only when NS_BROADCAST or the caller wants it, because anybody
on the network could answer.
"""

from __future__ import annotations

import contextlib
import random
import socket
import time
from typing import Any

from fastpyro.config import config
from fastpyro.errors import NamingError, ProtocolError, PyroError, TimeoutError
from fastpyro.message_kinds import NAMESERVER_NAME
from fastpyro.proxy import Proxy
from fastpyro.sockets import host_port_text
from fastpyro.uri import URI

__all__ = ["locateNS", "locate_ns", "lookup", "resolve", "yplookup"]

BROADCAST_ROUNDS = 3
BROADCAST_SECONDS = 0.7
QUERY = b"GET_NSURI"
LONGEST_ANSWER = 300
MOST_NAMES = 10
"""A name may stand for another name, and so on, so often."""
START_ONE = "start one with: fastpyro ns"


def locate_ns(host: str | None = None, port: int | None = None, broadcast: bool | None = None) -> Any:
    """Return a connected proxy for a name server.

    Arguments: ``host`` (or "./u:" and a socket's path) and ``port`` (None: NS_HOST, NS_PORT); ``broadcast``: when none
    is found there, ask the network (None: as NS_BROADCAST says).
    Raises NamingError when there is none; its text tells whether it is away, refuses, or speaks something else.
    """
    if broadcast is None:
        broadcast = config.NS_BROADCAST
    try:
        return _connected(_nameserver_uri(host or config.NS_HOST, port))
    except NamingError:
        if host or not broadcast:
            raise
        uri = _ask_network(port)
        if uri is None:
            raise
        return _connected(uri)


def locateNS(host: str | None = None, port: int | None = None, broadcast: bool | None = None) -> Any:
    """Pyro4's spelling of ``locate_ns``."""
    return locate_ns(host, port, broadcast)


def _nameserver_uri(host: str, port: int | None) -> URI:
    if URI.isUnixsockLocation(host):
        return URI(f"PYRO:{NAMESERVER_NAME}@{host}")
    return URI(f"PYRO:{NAMESERVER_NAME}@{host_port_text(host.strip('[]'), port or config.NS_PORT)}")


def _connected(uri: URI) -> Proxy:
    proxy = Proxy(uri)
    try:
        proxy._pyroBind()
    except PyroError as error:
        proxy._pyroRelease()
        raise NamingError(_why(uri, error)) from error
    return proxy


def _why(uri: URI, error: PyroError) -> str:
    location, cause = uri.location, error.__cause__
    if isinstance(cause, ConnectionRefusedError | FileNotFoundError):
        return f"no name server at {location}: nothing listens there (connection refused); {START_ONE}"
    if isinstance(error, TimeoutError):
        return f"Failed to locate the nameserver: whatever listens at {location} did not answer in time"
    if isinstance(error, ProtocolError | ConnectionError):
        return (
            f"Failed to locate the nameserver: what listens at {location} does not speak this protocol ({error}); "
            "is another program using the port?"
        )
    if isinstance(cause, OSError):
        return f"Failed to locate the nameserver: {location} cannot be reached ({cause}); check host, port and network"
    return f"Failed to locate the nameserver at {location}: {error}"


def _ask_network(port: int | None) -> URI | None:
    """Return the URI that the first name server on the network answers with, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for _ in range(BROADCAST_ROUNDS):
            for address in config.BROADCAST_ADDRS:
                with contextlib.suppress(OSError):
                    sock.sendto(QUERY, (address, port or config.NS_BCPORT))
            uri = _first_answer(sock, time.monotonic() + BROADCAST_SECONDS)
            if uri is not None:
                return uri
    return None


def _first_answer(sock: socket.socket, deadline: float) -> URI | None:
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            data, _ = sock.recvfrom(LONGEST_ANSWER)
            uri = URI(data.decode("iso-8859-1"))
        except (OSError, PyroError):
            continue
        if uri.protocol == "PYRO" and uri.object == NAMESERVER_NAME:
            return uri
    return None


def resolve(uri: str | URI, delay_time: float | None = None) -> URI:
    """Return the PYRO uri of an object that is given by name or metadata; PYRO uris are returned as they are.

    Arguments: ``uri``; ``delay_time``, seconds to wait for the name to appear (None: NS_LOOKUP_DELAY).
    Raises NamingError when there is no name server or no such name, TypeError when ``uri`` is neither str nor URI.
    """
    if not isinstance(uri, str | URI):
        raise TypeError(f"can only resolve a str or URI, not {type(uri).__name__}")
    target = URI(uri)
    for _ in range(MOST_NAMES):
        if target.protocol == "PYRO":
            return target
        with locate_ns(f"./u:{target.sockname}" if target.sockname else target.host, target.port) as nameserver:
            if target.protocol == "PYRONAME":
                target = URI(lookup(nameserver, target.object, delay_time=delay_time))
            else:
                found = yplookup(nameserver, meta_all=target.object, return_metadata=False, delay_time=delay_time)
                if not found:
                    raise NamingError(f"no registrations available that match {target}")
                target = URI(random.choice(list(found.values())))
    raise NamingError(f"{uri} leads through too many names")


def lookup(nameserver: Any, name: str, return_metadata: bool = False, delay_time: float | None = None) -> Any:
    """Return what the name server has under a name, waiting ``delay_time`` seconds for it; arguments as its ``lookup``."""
    deadline, pause = _patience(delay_time)
    while True:
        try:
            return nameserver.lookup(name, return_metadata)
        except NamingError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(pause)


def yplookup(
    nameserver: Any,
    meta_all: Any = None,
    meta_any: Any = None,
    return_metadata: bool = True,
    delay_time: float | None = None,
) -> Any:
    """Return the registrations with some metadata, waiting ``delay_time`` seconds for one; arguments as ``yplookup``."""
    deadline, pause = _patience(delay_time)
    while True:
        found = nameserver.yplookup(meta_all, meta_any, return_metadata)
        if found or time.monotonic() >= deadline:
            return found
        time.sleep(pause)


def _patience(delay_time: float | None) -> tuple[float, float]:
    delay = config.NS_LOOKUP_DELAY if delay_time is None else delay_time
    return time.monotonic() + delay, max(0.2, delay / 5)
