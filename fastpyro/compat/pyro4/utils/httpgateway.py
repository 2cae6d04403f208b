"""Pyro4.utils.httpgateway: a WSGI application that lets HTTP clients call objects, and the command that serves it.

``/pyro/<name>/<method>?arguments`` calls a method, or reads an attribute, of the object that the name server has under that
name, and answers in JSON; ``/pyro/<name>/$meta`` tells its methods and attributes. Only names that match
``pyro_app.ns_regex`` are reachable. Each request stands for itself.
"""

from __future__ import annotations

import html
import json
import optparse
import os
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

from fastpyro.callcontext import current_context
from fastpyro.compression import payload_of
from fastpyro.message_kinds import FLAGS_EXCEPTION, FLAGS_ITEMSTREAMRESULT

from .. import errors, util
from ..core import Proxy
from ..message import secure_compare
from ..naming import locateNS

__all__ = ["main", "pyro_app"]

StartResponse = Callable[..., Any]
Answer = Iterable[bytes]

MOST_SHOWN = 10
"""Names on the home page."""

LARGEST_FORM = 1 << 20
"""Bytes of a POST request."""

JSON_HEADER = ("Content-Type", "application/json; charset=utf-8")
TEXT_HEADER = ("Content-Type", "text/plain")

_PAGE = """<!DOCTYPE html>
<html><head><title>Pyro HTTP gateway</title></head>
<body><h1>Pyro HTTP gateway</h1>
<p>Objects whose names match the pattern "{pattern}" can be called at
<code>/pyro/<em>name</em>/<em>method</em>?<em>argument=value</em></code>; the answer is JSON.
<code>/pyro/<em>name</em>/$meta</code> tells an object's methods and attributes. The request header
<code>X-Pyro-Options: oneway</code> asks for no answer.</p>
<table border="1"><tr><th>Name</th><th>Methods</th><th>Attributes</th></tr>
{rows}
</table></body></html>
"""


def get_nameserver(hmac: str | bytes | None = None) -> Any:
    """Return a proxy for the name server. Argument ``hmac``: its key. Raises NamingError when there is none."""
    return locateNS(hmac_key=hmac)


def pyro_app(environ: dict[str, Any], start_response: StartResponse) -> Answer:
    """Answer one HTTP request: a WSGI application.

    Its attributes are its settings: ``ns_regex``, which names are reachable; ``gateway_key``, bytes that clients must give
    as header X-Pyro-Gateway-Key or parameter $key, or None; ``comm_timeout`` in seconds, 0 for none; ``hmac_key``, that of
    name server and objects, or None.
    """
    path = environ.get("PATH_INFO", "").lstrip("/")
    if not path:
        start_response("302 Found", [("Location", "/pyro/")])
        return [b""]
    if not path.startswith("pyro/"):
        return not_found(start_response)
    method = environ.get("REQUEST_METHOD")
    if method not in ("GET", "POST"):
        return _text(start_response, "405 Method Not Allowed", "Error 405: Method Not Allowed")
    path = path.removeprefix("pyro/")
    if not path:
        return return_homepage(environ, start_response)
    form = environ.get("QUERY_STRING", "")
    if method == "POST":
        size = min(int(environ.get("CONTENT_LENGTH") or 0), LARGEST_FORM)
        form = "&".join(filter(None, [form, environ["wsgi.input"].read(size).decode("utf-8", "replace")]))
    return process_pyro_request(environ, path, singlyfy_parameters(parse_qs(form)), start_response)


pyro_app.ns_regex = r"http\."  # type: ignore[attr-defined]
pyro_app.gateway_key = None  # type: ignore[attr-defined]
pyro_app.comm_timeout = 0.0  # type: ignore[attr-defined]
pyro_app.hmac_key = None  # type: ignore[attr-defined]


def singlyfy_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return form parameters with the value in the place of a list of one value."""
    return {
        name: values[0] if isinstance(values, list) and len(values) == 1 else values
        for name, values in parameters.items()
    }


def not_found(start_response: StartResponse) -> Answer:
    """Answer that there is no such page."""
    return _text(start_response, "404 Not Found", "Error 404: Not Found")


def _text(start_response: StartResponse, status: str, text: str) -> Answer:
    start_response(status, [TEXT_HEADER])
    return [text.encode("utf-8")]


def return_homepage(environ: dict[str, Any], start_response: StartResponse) -> Answer:
    """Answer with a page that explains the gateway and lists some objects."""
    rows = []
    try:
        with get_nameserver(hmac=pyro_app.hmac_key) as nameserver:  # type: ignore[attr-defined]
            names = sorted(nameserver.list(regex=pyro_app.ns_regex))[:MOST_SHOWN]  # type: ignore[attr-defined]
            uris = {name: nameserver.lookup(name) for name in names}
        for name, uri in uris.items():
            rows.append(_row(name, uri))
    except errors.PyroError as error:
        return _text(start_response, "500 Internal Server Error", f"Error 500: {error}")
    pattern = html.escape(pyro_app.ns_regex)  # type: ignore[attr-defined]
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [_PAGE.format(pattern=pattern, rows="\n".join(rows)).encode("utf-8")]


def _row(name: str, uri: Any) -> str:
    try:
        with _proxy_for(uri) as proxy:
            proxy._pyroBind()
            members = [", ".join(sorted(names)) for names in (proxy._pyroMethods, proxy._pyroAttrs)]
    except errors.CommunicationError as error:
        members = [f"cannot be reached: {error}", ""]
    return "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in (name, *members)) + "</tr>"


def _proxy_for(uri: Any) -> Any:
    proxy: Any = Proxy(uri)
    proxy._pyroSerializer = "json"  # what the object answers is handed on as it is
    proxy._pyroHmacKey = pyro_app.hmac_key  # type: ignore[attr-defined]
    proxy._pyroTimeout = pyro_app.comm_timeout  # type: ignore[attr-defined]
    return proxy


def process_pyro_request(
    environ: dict[str, Any], path: str, parameters: dict[str, Any], start_response: StartResponse
) -> Answer:
    """Answer a request for ``path``, a name and a method, with ``parameters`` as the method's arguments."""
    object_name, _, method = path.rpartition("/")
    if not object_name or not method:
        return not_found(start_response)
    given_key = environ.get("HTTP_X_PYRO_GATEWAY_KEY") or parameters.pop("$key", "")
    wanted_key = pyro_app.gateway_key  # type: ignore[attr-defined]
    if wanted_key and not secure_compare(str(given_key).encode("utf-8"), _bytes(wanted_key)):
        return _text(start_response, "403 Forbidden", "403 Forbidden - incorrect gateway api key")
    if not re.match(pyro_app.ns_regex, object_name):  # type: ignore[attr-defined]
        return _text(start_response, "403 Forbidden", "403 Forbidden - access to the requested object has been denied")
    parameters.pop("$key", None)
    before = current_context.correlation_id
    try:
        requested = environ.get("HTTP_X_PYRO_CORRELATION_ID")
        current_context.correlation_id = uuid.UUID(requested) if requested else uuid.uuid4()
        return _call(environ, object_name, method, parameters, start_response)
    except Exception as error:
        start_response("500 Internal Server Error", [JSON_HEADER])
        return [json.dumps(util.SerializerBase.class_to_dict(error), default=str).encode("utf-8")]
    finally:
        current_context.correlation_id = before


def _bytes(key: str | bytes) -> bytes:
    return key.encode("utf-8") if isinstance(key, str) else key


def _call(
    environ: dict[str, Any], object_name: str, method: str, parameters: dict[str, Any], start_response: StartResponse
) -> Answer:
    headers = [JSON_HEADER, ("X-Pyro-Correlation-Id", str(current_context.correlation_id))]
    with get_nameserver(hmac=pyro_app.hmac_key) as nameserver:  # type: ignore[attr-defined]
        uri = nameserver.lookup(object_name)
    with _proxy_for(uri) as proxy:
        proxy._pyroGetMetadata()
        if method == "$meta":
            names = {"methods": sorted(proxy._pyroMethods), "attributes": sorted(proxy._pyroAttrs)}
            start_response("200 OK", headers)
            return [json.dumps(names).encode("utf-8")]
        if "oneway" in environ.get("HTTP_X_PYRO_OPTIONS", "").split(","):
            proxy._pyroOneway.add(method)
        proxy._pyroRawWireResponse = True
        if method in proxy._pyroAttrs:
            if parameters:
                raise ValueError("an attribute is read without parameters")
            message = getattr(proxy, method)
        else:
            message = getattr(proxy, method)(**parameters)
    if message is None:  # oneway
        start_response("200 OK", headers)
        return [b""]
    if message.flags & FLAGS_ITEMSTREAMRESULT:
        raise errors.ProtocolError("the result is a stream of items, which cannot be sent over HTTP")
    status = "500 Internal Server Error" if message.flags & FLAGS_EXCEPTION else "200 OK"
    start_response(status, headers)
    return [payload_of(message)]


def main(args: list[str] | None = None) -> None:
    """Serve the application as the command line says (None: that of this process) until Ctrl-C."""
    parser = optparse.OptionParser()
    parser.add_option("-H", "--host", default="localhost", help="hostname to bind server on (default=%default)")
    parser.add_option("-p", "--port", type="int", default=8080, help="port to bind server on (default=%default)")
    parser.add_option(
        "-e",
        "--expose",
        default=pyro_app.ns_regex,  # type: ignore[attr-defined]
        help="a regex of object names to expose (default=%default)",
    )
    parser.add_option("-k", "--pyrokey", help="the HMAC key to use to connect with Pyro (deprecated)")
    parser.add_option("-g", "--gatewaykey", help="the api key to use to connect to the gateway itself")
    parser.add_option("-t", "--timeout", type="float", default=0.0, help="Pyro timeout in seconds (default=%default)")
    options, _ = parser.parse_args(args)
    gateway_key = options.gatewaykey or os.environ.get("PYRO_HTTPGATEWAY_KEY")
    pyro_app.gateway_key = _bytes(gateway_key) if gateway_key else None  # type: ignore[attr-defined]
    pyro_app.hmac_key = options.pyrokey or os.environ.get("PYRO_HMAC_KEY")  # type: ignore[attr-defined]
    pyro_app.ns_regex = options.expose  # type: ignore[attr-defined]
    pyro_app.comm_timeout = options.timeout  # type: ignore[attr-defined]
    with make_server(options.host, options.port, pyro_app) as server:
        print(f"Pyro HTTP gateway running on http://{options.host}:{server.server_port}/pyro/", flush=True)
        print(f"Exposing objects with names matching:  {options.expose}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
