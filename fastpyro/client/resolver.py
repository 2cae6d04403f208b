"""Finds the name server, and with its help the objects that names and metadata tags stand for. The client's side only.

Broadcasting the question to the network is off unless it is asked for: anybody can answer it. What goes wrong on the
way is told apart: a name server that is away, that refuses, that is silent, or that is something else.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from fastpyro._foreign_text import shown
from fastpyro._lazy_logging import logger
from fastpyro.config import LONGEST_SOCKET_TIMEOUT, config
from fastpyro.constants import NAMESERVER_NAME
from fastpyro.errors import ConnectionClosedError, NamingError, ProtocolError, PyroError, SecurityError
from fastpyro.errors import TimeoutError as PyroTimeoutError
from fastpyro.transport.trusted_peers import is_same_user
from fastpyro.uri import URI
from fastpyro.values import class_registry
from fastpyro.values.checked import is_kind, mapping_of, text_of

if TYPE_CHECKING:
    from fastpyro.client.interfaces import Caller

__all__ = ["check_location", "find_name_server", "lookup", "resolve", "yplookup"]

log = logger("fastpyro.locate")

PATIENCE = 10.0
"""Seconds that a name server has to answer while it is looked for, where COMMTIMEOUT sets no other limit."""

QUESTION = b"GET_NSURI"
LONGEST_ANSWER = 100
BROADCAST_ROUNDS = 3
BROADCAST_ROUND_SECONDS = 0.7

Key = str | bytes | None

LOOKUP_PAUSE = 0.2
"""Seconds between two attempts to look up a name that is waited for."""

FOUND = "what a name server found"

MOST_HOPS = 10
"""A name may stand for another name; so often and no more."""

WAY_OUT = "start one with: fastpyro ns, or say where it is: locate_ns(host, port), or PYRO_NS_HOST and PYRO_NS_PORT"


def resolve(
    uri: str | URI, delay_time: float = 0.0, *, timeout: float | None = None, hmac_key: str | bytes | None = None
) -> URI:
    """Return the PYRO uri that a uri stands for; it asks the name server where that is needed.

    Arguments: ``uri``, a str or URI: PYRO is returned unchanged, PYRONAME is looked up, for PYROMETA one of the objects
    that have all the tags is chosen at random; ``delay_time``, seconds to wait for the name to appear (0:
    ``config.NS_LOOKUP_DELAY``); ``timeout``, seconds for each exchange with the name server;
    ``hmac_key``, the name server's key.
    Raises TypeError for another type, NamingError when there is no name server or no such name.
    """
    found = uri if isinstance(uri, URI) and uri.protocol != "PYRO" else URI(uri)
    for _ in range(MOST_HOPS):
        if found.protocol == "PYRO":
            return found
        found = _one_hop(found, delay_time, timeout, hmac_key)
    raise NamingError(f"{uri} stands for a name that stands for a name, and so on: given up after {MOST_HOPS} steps")


def _one_hop(uri: URI, delay_time: float, timeout: float | None, hmac_key: Key) -> URI:
    with _name_server_of(uri, _patience(timeout), hmac_key) as name_server:
        if uri.protocol == "PYRONAME":
            found = lookup(name_server, uri.object, delay_time=delay_time)
            if not is_kind(found, URI):
                raise NamingError(f"the name server at {name_server._pyroUri.location} gave no URI for {uri.object!r}")
        else:
            choices = _with_tags(name_server, uri.object, delay_time)
            if not choices:
                raise NamingError(
                    f"no registrations available with desired metadata properties {uri.object}: no object has all of the "
                    f"metadata tags {', '.join(sorted(uri.object))}"
                )
            found = URI(text_of(random.choice(list(choices.values())), "a uri of the name server"))
        address: URI = found
        check_location(address, name_server)
        address.is_foreign = True
        return address


def _name_server_of(uri: URI, timeout: float, key: Key) -> Caller:
    """Return a connected proxy for the name server that a uri names, or else the usual one."""
    if not uri.sockname:
        return _locate(uri.host or "", uri.port, None, timeout, key)
    place = URI(f"PYRO:{NAMESERVER_NAME}@{uri.location}")
    place.is_foreign = uri.is_foreign
    return _bind(place, timeout, key)


def check_location(uri: URI, name_server: Caller) -> None:
    """Raise NamingError for a Unix socket that a name server gave, unless that is this user's own, or it is wanted.

    Arguments: ``uri``, what was looked up; ``name_server``, a connected proxy. Anybody on the network may have registered
    the socket, and it would lead past TLS to whoever listens there. ``config.NS_UNIX_LOCATIONS`` allows it.
    """
    if not uri.sockname or config.NS_UNIX_LOCATIONS:
        return
    connection = name_server._pyroConnection
    if connection is None or not is_same_user(connection.sock):
        raise NamingError(
            f"the name server at {name_server._pyroUri.location} gave the Unix socket {uri.sockname!r}, and may not: it was "
            "not reached over a Unix socket of this user. config.NS_UNIX_LOCATIONS allows it"
        )


def _with_tags(name_server: Any, tags: Iterable[str], delay_time: float) -> dict[str, Any]:
    if "yplookup" in name_server._pyroMethods:
        return yplookup(name_server, meta_all=tags, return_metadata=False, delay_time=delay_time)
    for may_repeat in _attempts(delay_time):  # Pyro4's name server
        found = mapping_of(name_server.list(metadata_all=set(tags)), FOUND)
        if found or not may_repeat:
            return found
    raise AssertionError("unreachable")


def lookup(name_server: Any, name: str, return_metadata: bool = False, delay_time: float = 0.0) -> Any:
    """Call ``name_server.lookup``, again and again until the name is there or ``delay_time`` seconds are over.

    Arguments: as for NameServer.lookup; ``delay_time`` 0 means ``config.NS_LOOKUP_DELAY``. Returns what it returns.
    Raises NamingError when the name did not appear.
    """
    for may_repeat in _attempts(delay_time):
        try:
            return name_server.lookup(name, return_metadata)
        except (NamingError, PyroTimeoutError):
            if not may_repeat:
                raise
    raise AssertionError("unreachable")


def yplookup(
    name_server: Any,
    meta_all: Iterable[str] | None = None,
    meta_any: Iterable[str] | None = None,
    return_metadata: bool = True,
    delay_time: float = 0.0,
) -> dict[str, Any]:
    """Call ``name_server.yplookup``, again and again until something is found or ``delay_time`` seconds are over.

    Arguments: as for NameServer.yplookup; ``delay_time`` 0 means ``config.NS_LOOKUP_DELAY``. Returns what it returns.
    """
    for may_repeat in _attempts(delay_time):
        try:
            found = mapping_of(name_server.yplookup(meta_all, meta_any, return_metadata), FOUND)
        except PyroTimeoutError:
            if not may_repeat:
                raise
            continue
        if found or not may_repeat:
            return found
    raise AssertionError("unreachable")


def _attempts(delay_time: float) -> Iterator[bool]:
    """Yield for each attempt whether another one may follow, with pauses in between."""
    deadline = time.monotonic() + (delay_time or config.NS_LOOKUP_DELAY)
    while (left := deadline - time.monotonic()) > 0:
        yield True
        time.sleep(min(LOOKUP_PAUSE, left))
    yield False


# ---- the name server ----------------------------------------------------------------------------------------------------


def _patience(timeout: float | None) -> float:
    return timeout or config.COMMTIMEOUT or PATIENCE


def find_name_server(host: str, port: int | None, broadcast: bool | None, key: Key = None) -> Caller:
    """Return a connected proxy for the name server; see ``locate.locate_ns``."""
    name_server = _locate(host, port, broadcast, _patience(None), key)
    name_server._pyroTimeout = config.COMMTIMEOUT
    return name_server


def _locate(host: str, port: int | None, broadcast: bool | None, timeout: float, key: Key = None) -> Caller:
    if host:
        return _connect(host, port or config.NS_PORT, timeout, key)
    may_broadcast = config.NS_BROADCAST if broadcast is None else broadcast
    if may_broadcast and config.PREFER_IP_VERSION != 6:
        return _locate_with_broadcast(port, timeout, key)
    return _first_of([*_usual_places(port)], timeout, key)


def _usual_places(port: int | None) -> Iterator[tuple[str, int]]:
    yield config.NS_HOST, port or config.NS_PORT
    if config.NS_HOST == "localhost" and sys.platform == "linux":
        # Where Debian's /etc/hosts puts the machine's own name, and so a name server that was started with it.
        yield "127.0.1.1", port or config.NS_PORT


def _locate_with_broadcast(port: int | None, timeout: float, key: Key) -> Caller:
    is_local = config.NS_HOST in ("localhost", "::1") or config.NS_HOST.startswith("127.")
    if is_local:
        try:
            return _first_of([*_usual_places(port)], timeout, key)
        except NamingError as error:
            log.debug("not on this machine: %s", error)
    uri = _ask_the_network(port or config.NS_BCPORT)
    if uri is not None:
        return _bind(uri, timeout, key)
    try:
        return _connect(config.NS_HOST, config.NS_PORT, timeout, key)
    except NamingError as error:
        raise NamingError(f"nobody answered the broadcast to {config.BROADCAST_ADDRS}, and: {error}") from error


def _first_of(places: list[tuple[str, int]], timeout: float, key: Key) -> Caller:
    """Connect to the first place that has a name server; the failure of the first one is what is reported."""
    failure: NamingError | None = None
    for host, port in places:
        try:
            return _connect(host, port, timeout, key)
        except NamingError as error:
            failure = failure or error
    assert failure is not None
    try:
        raise failure
    finally:
        del failure  # its traceback holds this frame, which would hold it


def _connect(host: str, port: int, timeout: float, key: Key) -> Caller:
    if URI.isUnixsockLocation(host):
        location = host
    else:
        bare = host.strip("[]")
        location = f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"
    try:
        uri = URI(f"PYRO:{NAMESERVER_NAME}@{location}")
    except PyroError as error:
        raise NamingError(f"Failed to locate the nameserver: {location!r} is no address; {error}") from error
    return _bind(uri, timeout, key)


def _bind(uri: URI, timeout: float, key: Key) -> Caller:
    name_server: Caller = class_registry.build("fastpyro.Proxy", (str(uri), (), (), (), "hello", None))
    if key is not None:
        name_server._pyroHmacKey = key
    name_server._pyroTimeout = timeout
    name_server._pyroUri.is_foreign = uri.is_foreign
    try:
        name_server._pyroBind()
    except PyroError as error:
        raise NamingError(f"Failed to locate the nameserver at {uri.location}: {_explain(error, timeout)}") from error
    return name_server


def _explain(error: PyroError, timeout: float) -> str:
    """Return what is wrong with the name server and what to do, from the error of connecting to it."""
    cause = error.__cause__
    if isinstance(error, ProtocolError):
        return (
            f"something answers there, but it speaks something else than fastpyro's protocol ({error}); "
            f"is it the port of another program, or of a Pyro name server? Choose another one, or {WAY_OUT}"
        )
    if isinstance(error, SecurityError):
        return str(error)
    if isinstance(error, ConnectionClosedError):
        return (
            "something listens there, but it closed the connection without an answer: it speaks something else, "
            f"or it is stopping ({error}); {WAY_OUT}"
        )
    if isinstance(error, PyroTimeoutError) and not isinstance(cause, OSError):
        return (
            f"something listens there, but it did not answer within {timeout:g} s: it hangs, or it speaks something "
            f"else ({error}); {WAY_OUT}"
        )
    if isinstance(cause, ConnectionRefusedError):
        return f"connection refused, so nothing listens there ({cause}); {WAY_OUT}"
    if isinstance(cause, FileNotFoundError):
        return f"connection refused, there is no such socket file ({cause}); {WAY_OUT}"
    if isinstance(cause, socket.gaierror):
        return f"it is away: there is no address for that host name ({cause}); check the name, or {WAY_OUT}"
    if isinstance(cause, OSError):
        return (
            f"it is away: the address cannot be reached within {timeout:g} s ({cause}); "
            f"check host, network and firewall, or {WAY_OUT}"
        )
    if "unknown object" not in str(error):
        return f"a daemon is there, and refused: {error}"
    return f"a daemon is there, but it is no name server ({error}); {WAY_OUT}"


# ---- broadcast ------------------------------------------------------------------------------------------------------------


def _ask_the_network(port: int) -> URI | None:
    """Return the first name server's URI that comes as an answer, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for _ in range(BROADCAST_ROUNDS):
            for address in config.BROADCAST_ADDRS:
                _ask(sock, address, port)
            uri = _first_answer(sock, time.monotonic() + BROADCAST_ROUND_SECONDS)
            if uri is not None:
                return uri
    return None


def _ask(sock: socket.socket, address: str, port: int) -> None:
    try:
        sock.sendto(QUESTION, (address, port))
    except OSError as error:
        log.debug("cannot broadcast to %r: %s", address, error)


def _first_answer(sock: socket.socket, deadline: float) -> URI | None:
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(min(left, LONGEST_SOCKET_TIMEOUT))
        try:
            answer, address = sock.recvfrom(LONGEST_ANSWER + 1)
            uri = _believed(answer, str(address[0]))
        except TimeoutError:
            return None
        except OSError as error:
            log.info("no answer to the broadcast: %s", error)
            continue
        except PyroError as error:
            log.warning("%r answered the broadcast, but %s", address, error)
            continue
        log.debug("%r answered that the name server is %s", address, uri)
        return uri
    return None


def _believed(answer: bytes, sender: str) -> URI:
    """Return the URI of an answer, which anybody may have sent: it must be plausible that the sender's network has it there.

    Raises PyroError for anything else: no name server, a Unix socket, this machine if somebody else says so, the whole
    internet if a neighbour says so.
    """
    if len(answer) > LONGEST_ANSWER:
        raise NamingError(f"with more than {LONGEST_ANSWER} bytes")
    uri = URI(answer.decode("iso-8859-1"))
    if uri.protocol != "PYRO" or uri.object != NAMESERVER_NAME:
        raise NamingError(f"with {shown(str(uri))}, which is no name server")
    if uri.host is None:
        if config.NS_UNIX_LOCATIONS:
            return uri
        raise NamingError(f"with the Unix socket {shown(uri.sockname)}; config.NS_UNIX_LOCATIONS allows it")
    if not _is_plausible(uri.host, sender):
        raise NamingError(f"with {shown(str(uri))}, which is not where it may send us")
    return uri


def _is_plausible(host: str, sender: str) -> bool:
    """Judge by addresses alone: a name stands for those that this machine finds for it, and each must be plausible."""
    if host == sender:
        return True
    is_name = host.isascii() and host.replace("-", "").replace(".", "").replace("_", "").isalnum()
    if not is_name and ":" not in host:
        return False
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(_is_address_plausible(str(place[0]), sender) for *_, place in found)


def _is_address_plausible(text: str, sender: str) -> bool:
    import ipaddress

    address = ipaddress.ip_address(text.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if str(address) == sender:
        return True
    if address.is_loopback or address.is_unspecified:
        return _is_own(sender)
    # A name server behind several interfaces may say another address than the one it answers from, of the same kind.
    return address.is_private and not address.is_link_local and ipaddress.ip_address(sender).is_private


def _is_own(address: str) -> bool:
    """Return whether an address is one of this machine, by trying to be there; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
