"""Pyro4.naming: name servers, how they are found, and the command that runs one."""

from __future__ import annotations

import optparse
import os
from typing import Any

from fastpyro.compat.shared.module_names import also_there
from fastpyro.compat.shared.name_server_loop import serve
from fastpyro.compat.shared.name_storages import MemoryStorage, PeerNameServer, use_them
from fastpyro.naming import start
from fastpyro.naming.broadcast import BroadcastServer
from fastpyro.naming.cleaner import AutoCleaner
from fastpyro.naming.name_server import type_meta
from fastpyro.naming.start import NameServerDaemon
from fastpyro.server.exposure import expose
from fastpyro.transport.trusted_peers import hmac_key_of

from .core import URI
from .core import _locateNS as locateNS
from .core import _resolve as resolve
from .naming_storage import storage_of

__all__ = [
    "AutoCleaner",
    "BroadcastServer",
    "MemoryStorage",
    "NameServer",
    "NameServerDaemon",
    "locateNS",
    "main",
    "resolve",
    "startNS",
    "startNSloop",
    "type_meta",
]

__getattr__ = also_there(
    __name__,
    "constants core errors socketutil config errors.NamingError errors.ProtocolError errors.PyroError",
    "logging re socket sys threading time warnings",
)


@expose
class NameServer(PeerNameServer):
    """fastpyro's name server under Pyro4's name, with metadata in lists."""

    def lookup(self, name: str, return_metadata: bool = False) -> Any:
        """Return the URI of a name; with ``return_metadata`` the pair of URI and list of tags. Raises NamingError."""
        found = super().lookup(name, return_metadata)
        return (found[0], [*found[1]]) if return_metadata else found

    def list(self, *arguments: Any, **keywords: Any) -> dict[str, Any]:
        """Return the URIs of names, or their (URI, list of tags); see fastpyro's name server."""
        found: dict[str, Any] = super().list(*arguments, **keywords)
        return {name: one if isinstance(one, str) else (one[0], [*one[1]]) for name, one in found.items()}


use_them(NameServer)


def startNS(
    host: str | None = None,
    port: int | None = None,
    enableBroadcast: bool = True,
    bchost: str | None = None,
    bcport: int | None = None,
    unixsocket: str | None = None,
    nathost: str | None = None,
    natport: int | None = None,
    storage: Any = None,
    hmac: str | bytes | None = None,
) -> tuple[URI, NameServerDaemon, BroadcastServer | None]:
    """Make a name server, to be served with ``daemon.requestLoop()``; see fastpyro.start_ns.

    Arguments: ``storage``, "memory", "sql:<file>" or "dbm:<file>"; ``hmac``, a key that clients must have, too.
    Returns the name server's URI, its daemon, and the responder to broadcast or None.
    """
    rest = bchost, bcport, unixsocket, nathost, natport, storage_of(storage)
    key = hmac_key_of(hmac)  # before anything is opened
    uri, daemon, responder = start.start_ns(host, port, enableBroadcast, *rest)
    daemon._pyroHmacKey = key
    return URI(uri), daemon, responder


def startNSloop(
    host: str | None = None,
    port: int | None = None,
    enableBroadcast: bool = True,
    bchost: str | None = None,
    bcport: int | None = None,
    unixsocket: str | None = None,
    nathost: str | None = None,
    natport: int | None = None,
    storage: Any = None,
    hmac: str | bytes | None = None,
) -> None:
    """Make a name server, print where it is, and serve until Ctrl-C; the arguments are those of ``startNS``."""
    rest = bchost, bcport, unixsocket, nathost, natport, storage, hmac
    uri, daemon, responder = startNS(host, port, enableBroadcast, *rest)
    serve(uri, daemon, responder, "" if hmac else "Warning: HMAC key not set. Anyone can connect to this server!")


def main(args: list[str] | None = None) -> None:
    """Run a name server as the command line says (None: that of this process)."""
    parser = optparse.OptionParser()
    parser.add_option("-n", "--host", help="hostname to bind server on")
    parser.add_option("-p", "--port", type="int", help="port to bind server on (0=random)")
    parser.add_option("-u", "--unixsocket", help="Unix domain socket name to bind server on")
    parser.add_option("-s", "--storage", default="memory", help="Storage system to use (memory, dbm:file, sql:file)")
    parser.add_option("--bchost", help='hostname to bind broadcast server on (default is "")')
    parser.add_option("--bcport", type="int", help="port to bind broadcast server on (0=random)")
    parser.add_option("--nathost", help="external hostname in case of NAT")
    parser.add_option("--natport", type="int", help="external port in case of NAT")
    parser.add_option("-x", "--nobc", action="store_true", default=False, help="don't start a broadcast server")
    parser.add_option("-k", "--key", help="the HMAC key to use (deprecated)")
    options, _ = parser.parse_args(args)
    startNSloop(
        options.host,
        options.port,
        not options.nobc,
        options.bchost,
        options.bcport,
        options.unixsocket,
        options.nathost,
        options.natport,
        options.storage,
        options.key or os.environ.get("PYRO_HMAC_KEY") or None,
    )


if __name__ == "__main__":
    main()
