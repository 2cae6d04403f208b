"""TLS, as the configuration says: for daemons and proxies, over TCP. The module ssl is imported when it is first needed.

The settings are those of the moment at which a daemon or a connection is made. A context is made for each set of
settings, and anew when a file of theirs was replaced: connections that are made from then on trust the new ones. At least
TLS 1.2 is spoken.
"""

from __future__ import annotations

import os
import weakref
from functools import lru_cache

from fastpyro._lazy_logging import LazyLogger
from fastpyro._light_typing import TYPE_CHECKING, NamedTuple
from fastpyro.config import config

if TYPE_CHECKING:
    import socket
    import ssl
    from typing import Any

    from fastpyro.transport.tls_socket import TlsSocket

    Stamp = tuple[Any, ...]

__all__ = [
    "ServerContexts",
    "TlsSettings",
    "client_context",
    "has_checked_both_sides",
    "make_context",
    "server_context",
    "server_contexts",
    "wrapped",
]

log = LazyLogger("fastpyro.tls")

MOST_CONTEXTS = 32

_checking_both_sides: weakref.WeakSet[ssl.SSLContext] = weakref.WeakSet()
"""Contexts that show a certificate of their own and demand one of the peer, by authorities that were chosen."""


class TlsSettings(NamedTuple):
    """Of a server or a client; files, or "" for none, and a password; whether the peer's certificate is checked."""

    server: bool
    certificate: str
    key: str
    password: str
    authorities: str
    verify: bool


class ServerContexts:
    """The contexts of one daemon, one after the other. Arguments: ``settings``, those that it keeps.

    Raises OSError (ssl.SSLError) for files that are not there, or not what they should be.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._authorities = _stamp_of(settings.authorities)
        self._context = make_context(*settings)
        self._told: object = None

    def current(self) -> ssl.SSLContext:
        """Return the context for a new connection, with what the files hold now.

        A certificate or key that cannot be read, because it is being replaced, say, leaves those that were there before.
        Raises OSError for authorities that were replaced and cannot be read: those of before are not trusted any more.
        """
        authorities = _stamp_of(self._settings.authorities)
        try:
            self._context = make_context(*self._settings)
            self._authorities = authorities
        except OSError as error:
            if authorities != self._authorities:
                raise
            if str(error) != self._told:
                self._told = str(error)
                log.warning("the certificate stays the one of before, because the new one cannot be read: %s", error)
        return self._context


def server_contexts() -> ServerContexts | None:
    """Return what a daemon gets its contexts from, None when ``config.SSL`` is off. Raises as ``server_context``."""
    settings = _server_settings()
    return None if settings is None else ServerContexts(settings)


def server_context() -> ssl.SSLContext | None:
    """Return what a daemon wraps its connections with, None when ``config.SSL`` is off.

    Raises ValueError without SSL_SERVERCERT, or when clients need certificates and SSL_CACERTS does not say whose;
    OSError (ssl.SSLError) for files that are not there, or not what they should be.
    """
    settings = _server_settings()
    return None if settings is None else make_context(*settings)


def _server_settings() -> TlsSettings | None:
    if not config.SSL:
        return None
    if not config.SSL_SERVERCERT:
        raise ValueError("SSL is on, and SSL_SERVERCERT names no certificate for the daemon")
    if config.SSL_REQUIRECLIENTCERT and not config.SSL_CACERTS:
        raise ValueError("SSL_REQUIRECLIENTCERT is on, and SSL_CACERTS does not say whose certificates are good")
    return TlsSettings(
        True,
        config.SSL_SERVERCERT,
        config.SSL_SERVERKEY,
        config.SSL_SERVERKEYPASSWD,
        config.SSL_CACERTS,
        config.SSL_REQUIRECLIENTCERT,
    )


def client_context() -> ssl.SSLContext | None:
    """Return what a proxy wraps its connection with, None when ``config.SSL`` is off.

    It checks the daemon's certificate and host name: against SSL_CACERTS, a file or a folder, or the system's authorities.
    Raises OSError (ssl.SSLError) for files that are not there, or not what they should be.
    """
    if not config.SSL:
        return None
    return make_context(
        False, config.SSL_CLIENTCERT, config.SSL_CLIENTKEY, config.SSL_CLIENTKEYPASSWD, config.SSL_CACERTS, True
    )


def wrapped(
    sock: socket.socket, context: ssl.SSLContext, server_side: bool = False, server_hostname: str | None = None
) -> TlsSocket:
    """Return a TLS socket that has taken ``sock``'s descriptor over, and has not shaken hands yet. Raises OSError."""
    from fastpyro.transport.tls_socket import TlsSocket

    return TlsSocket(sock, context, server_side, server_hostname)


def has_checked_both_sides(sock: socket.socket) -> bool:
    """Return whether a socket is TLS, and each end has shown a certificate of an authority that this program named.

    The system's authorities do not count: anybody may have a certificate of theirs.
    """
    context: Any = getattr(sock, "context", None)
    return context is not None and context in _checking_both_sides


def is_plain(sock: socket.socket) -> bool:
    """Return whether a socket is not TLS."""
    return getattr(sock, "context", None) is None


def make_context(
    server: bool, certificate: str, key: str, password: str, authorities: str, verify: bool
) -> ssl.SSLContext:
    """Return the context for these settings, as the files are now; see `TlsSettings`. The same one while nothing changes."""
    settings = TlsSettings(server, certificate, key, password, authorities, verify)
    # Taken before the files are read: what is replaced meanwhile is read once more, and not never.
    stamps = [_stamp_of(path) for path in (certificate, key, authorities)]
    if not (server or authorities):
        import ssl

        system = ssl.get_default_verify_paths()
        stamps += [_stamp_of(path or "", with_entries=False) for path in (system.cafile, system.capath)]
    return _context_of(settings, tuple(stamps))


def _naming(error: OSError, item: str, path: str, key_item: str = "", key: str = "") -> OSError:
    """Return the error of a file that TLS cannot use, with the configuration item that names it, and the path."""
    where = f"{item} {path!r}"
    if key and (not os.path.exists(key) or os.path.exists(path)):
        where = f"{key_item} {key!r}" if not os.path.exists(key) else f"{where} with {key_item} {key!r}"
    elif key_item and os.path.exists(path):
        where += f" (the key must be in it, too, as {key_item} is not set)"
    return type(error)(error.errno, f"{where}: {error.strerror or error}")


@lru_cache(MOST_CONTEXTS)
def _context_of(settings: TlsSettings, stamps: tuple[Stamp, ...]) -> ssl.SSLContext:
    import ssl

    server, certificate, key, password, authorities, verify = settings
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    side = "SERVER" if server else "CLIENT"
    if certificate:
        try:
            context.load_cert_chain(certificate, key or None, password or None)
        except OSError as error:
            raise _naming(error, f"SSL_{side}CERT", certificate, f"SSL_{side}KEY", key) from None
    if authorities:
        folder = os.path.isdir(authorities)
        try:
            context.load_verify_locations(None if folder else authorities, authorities if folder else None)
        except OSError as error:
            raise _naming(error, "SSL_CACERTS", authorities) from None
    elif not server:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if server:
        context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if certificate and authorities and verify:
        _checking_both_sides.add(context)
    return context


def _stamp_of(path: str, with_entries: bool = True) -> Stamp:
    """Return what changes when a file is replaced; for a folder also when one of its files is, with ``with_entries``."""
    if not path:
        return ()
    try:
        stamp = _file_stamp(os.stat(path))
        if not (with_entries and os.path.isdir(path)):
            return stamp
        with os.scandir(path) as entries:
            return (*stamp, *sorted((entry.name, _entry_stamp(entry)) for entry in entries))
    except OSError:
        return (None,)


def _entry_stamp(entry: os.DirEntry[str]) -> Stamp:
    try:
        return _file_stamp(entry.stat())
    except OSError:
        return ()  # a link to nowhere


def _file_stamp(found: os.stat_result) -> Stamp:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
