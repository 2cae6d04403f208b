"""Pyro4.utils.httpgateway: HTTP clients call objects; see `fastpyro.compat.shared.http_gateway`. Also a command."""

from __future__ import annotations

import optparse
import os
from typing import Any

from fastpyro.compat.shared.http_gateway import HttpGateway, as_bytes, serve
from fastpyro.compat.shared.http_gateway import single_values as singlyfy_parameters
from fastpyro.values.peer_dicts import PYRO4

from ..core import Proxy
from ..naming import locateNS

__all__ = ["main", "pyro_app", "singlyfy_parameters"]


def get_nameserver(hmac: str | bytes | None = None) -> Any:
    """Return a proxy for the name server. Argument ``hmac``: its key. Raises NamingError when there is none."""
    return locateNS(hmac_key=hmac)


pyro_app: HttpGateway = HttpGateway(lambda: get_nameserver(hmac=pyro_app.hmac_key), lambda uri: Proxy(uri), PYRO4)
not_found = pyro_app.not_found
return_homepage = pyro_app.home_page
process_pyro_request = pyro_app.answer


def main(args: list[str] | None = None) -> None:
    """Serve the application as the command line says (None: that of this process) until Ctrl-C."""
    parser = optparse.OptionParser()
    parser.add_option("-H", "--host", default="localhost", help="hostname to bind server on (default=%default)")
    parser.add_option("-p", "--port", type="int", default=8080, help="port to bind server on (default=%default)")
    text = "a regex of object names to expose (default=%default)"
    parser.add_option("-e", "--expose", default=pyro_app.ns_regex, help=text)
    parser.add_option("-k", "--pyrokey", help="the HMAC key to use to connect with Pyro (deprecated)")
    parser.add_option("-g", "--gatewaykey", help="the api key to use to connect to the gateway itself")
    parser.add_option("-t", "--timeout", type="float", default=0.0, help="Pyro timeout in seconds (default=%default)")
    options, _ = parser.parse_args(args)
    gateway_key = options.gatewaykey or os.environ.get("PYRO_HTTPGATEWAY_KEY")
    pyro_app.gateway_key = as_bytes(gateway_key) if gateway_key else None
    pyro_app.hmac_key = options.pyrokey or os.environ.get("PYRO_HMAC_KEY") or None
    pyro_app.ns_regex = options.expose
    pyro_app.comm_timeout = options.timeout
    serve(pyro_app, options.host, options.port)


if __name__ == "__main__":
    main()
