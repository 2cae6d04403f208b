"""TLS, as the configuration says: for daemons and proxies, over TCP. The module ssl is imported when it is first needed.

A context is made for each set of settings, when a daemon or a connection is made: what is configured later counts for
later ones. At least TLS 1.2 is spoken.
"""

from __future__ import annotations

import os
from functools import lru_cache

from fastpyro.config import config
from fastpyro.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

__all__ = ["client_context", "make_context", "server_context"]

MOST_CONTEXTS = 32


def server_context() -> ssl.SSLContext | None:
    """Return what a daemon wraps its connections with, None when ``config.SSL`` is off.

    Raises ValueError without SSL_SERVERCERT, or when clients need certificates and SSL_CACERTS does not say whose;
    OSError (ssl.SSLError) for files that are not there, or not what they should be.
    """
    if not config.SSL:
        return None
    if not config.SSL_SERVERCERT:
        raise ValueError("SSL is on, and SSL_SERVERCERT names no certificate for the daemon")
    if config.SSL_REQUIRECLIENTCERT and not config.SSL_CACERTS:
        raise ValueError("SSL_REQUIRECLIENTCERT is on, and SSL_CACERTS does not say whose certificates are good")
    return make_context(
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


@lru_cache(MOST_CONTEXTS)
def make_context(
    server: bool, certificate: str, key: str, password: str, authorities: str, verify: bool
) -> ssl.SSLContext:
    """Return the context for these settings: of a server or a client; files, or "" for none; whether the peer is checked."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate:
        context.load_cert_chain(certificate, key or None, password or None)
    if authorities:
        folder = os.path.isdir(authorities)
        context.load_verify_locations(None if folder else authorities, authorities if folder else None)
    elif not server:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if server:
        context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    return context
