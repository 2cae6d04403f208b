"""Pyro5.utils.httpgateway: HTTP clients call objects; see `fastpyro.compat.shared.http_gateway`. Also a command."""

from __future__ import annotations

import argparse
from typing import Any

from fastpyro.compat.shared.http_gateway import HttpGateway, as_bytes, serve
from fastpyro.compat.shared.http_gateway import single_values as singlyfy_parameters
from fastpyro.values.peer_dicts import PYRO5

from .. import config
from ..client import Proxy
from ..core import locate_ns

__all__ = ["main", "pyro_app", "singlyfy_parameters"]


def get_nameserver() -> Any:
    """Return a proxy for the name server. Raises NamingError when there is none."""
    return locate_ns()


pyro_app = HttpGateway(lambda: get_nameserver(), lambda uri: Proxy(uri), PYRO5)
pyro_app.cors = "*"
not_found = pyro_app.not_found
return_homepage = pyro_app.home_page
process_pyro_request = pyro_app.answer


def main(args: list[str] | None = None) -> None:
    """Serve the application as the command line says (None: that of this process) until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Pyro http gateway command line launcher.")
    parser.add_argument("-H", "--host", default="localhost", help="hostname to bind server on (default=%(default)s)")
    parser.add_argument("-c", "--cors", default="*", help="Allow cross origin domain/url")
    parser.add_argument("-p", "--port", type=int, default=8080, help="port to bind server on (default=%(default)d)")
    text = "a regex of object names to expose (default=%(default)s)"
    parser.add_argument("-e", "--expose", default=pyro_app.ns_regex, help=text)
    parser.add_argument("-g", "--gatewaykey", help="the api key to use to connect to the gateway itself")
    text = "Pyro timeout value to use (COMMTIMEOUT setting, default=%(default)f)"
    parser.add_argument("-t", "--timeout", type=float, default=config.COMMTIMEOUT, help=text)
    options = parser.parse_args(args)
    pyro_app.cors = options.cors
    pyro_app.gateway_key = as_bytes(options.gatewaykey) if options.gatewaykey else None
    pyro_app.ns_regex = options.expose
    pyro_app.comm_timeout = options.timeout
    serve(pyro_app, options.host, options.port)


if __name__ == "__main__":
    main()
