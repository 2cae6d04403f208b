"""A WSGI application that lets HTTP clients call objects.

``/pyro/<name>/<method>?arguments`` calls a method, or reads an attribute, of the object that the name server has under that
name, and answers in JSON; ``/pyro/<name>/$meta`` tells its methods and attributes. Only names that match `ns_regex` are
reachable. Each request stands for itself.
"""

from __future__ import annotations

import hmac
import html
import json
import math
import re
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from fastpyro._foreign_text import has_controls, on_one_line, shown
from fastpyro._mutex import Mutex
from fastpyro.callcontext import current_context
from fastpyro.client.locate import check_location
from fastpyro.compat.shared.http_server import WHEN_GONE, GatewayServer
from fastpyro.constants import FLAGS_EXCEPTION, FLAGS_ITEMSTREAMRESULT
from fastpyro.errors import NamingError, ProtocolError, PyroError, TimeoutError
from fastpyro.protocol.compression import payload_of
from fastpyro.uri import URI
from fastpyro.values.checked import is_kind, mapping_of
from fastpyro.values.peer_dicts import ClassDicts, PeerNames

__all__ = ["HttpGateway", "as_bytes", "serve", "single_values"]

StartResponse = Callable[..., Any]
Answer = Iterable[bytes]

MOST_SHOWN = 10
"""Names on the home page."""

LARGEST_FORM = 1 << 20
"""Bytes of a POST request, and of a query."""

MOST_PARAMETERS = 1000

CALL_SECONDS = 300.0
"""How long a call may take where ``comm_timeout`` says nothing: a silent object must not keep its thread for ever."""

CONNECT_SECONDS = 10.0
"""How long an object may take to say what it has, and a name server to answer."""

QUICK_SECONDS = 0.01
KEPT_TIMES = 5
"""A home page that was not made quickly is shown for so many times as long as that took: a name server lists all names."""

LOOK_SECONDS = 3.0
"""How long the home page waits for all names that it shows."""

JSON_HEADER = ("Content-Type", "application/json; charset=utf-8")
TEXT_HEADER = ("Content-Type", "text/plain")

PREFLIGHT = (
    ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
    (
        "Access-Control-Allow-Headers",
        "Accept, Content-Type, Origin, X-Requested-With, X-Pyro-Options, X-Pyro-Correlation-Id, X-Pyro-Gateway-Key",
    ),
)
"""What a browser is told before it lets a page of another origin send JSON."""

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


class HttpGateway:
    """The application: calls exposed members of objects whose names match a pattern, and nothing else.

    Arguments: ``find_name_server()`` and ``connect(uri)``, which return proxies; ``names``, the peer's.

    Attributes, its settings: ``ns_regex``, which names are reachable; ``gateway_key``, bytes that clients must give as
    header X-Pyro-Gateway-Key or parameter $key for every page, or None; ``comm_timeout`` in seconds, 0 for ``CALL_SECONDS``;
    ``hmac_key``, that of name server and objects, or None; ``cors``, the origin whose pages may use it, or None: with "*"
    any page that a user of the gateway looks at may make calls.
    """

    def __init__(self, find_name_server: Callable[[], Any], connect: Callable[[Any], Any], names: PeerNames) -> None:
        self._find_name_server = find_name_server
        self._connect = connect
        self._class_dicts = ClassDicts(names)
        self.ns_regex = r"http\."
        self.gateway_key: str | bytes | None = None
        self.comm_timeout = 0.0
        self.hmac_key: str | bytes | None = None
        self.cors: str | None = None
        self._making_page = Mutex()
        self._page = b""
        self._page_pattern = ""
        self._page_until = -math.inf

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Answer:
        """Answer one HTTP request."""
        try:
            return self._respond(environ, start_response)
        except _BadRequestError as error:
            return self._text(start_response, f"{error.status} Bad Request", f"Error {error.status}: {error}")

    def _respond(self, environ: dict[str, Any], start_response: StartResponse) -> Answer:
        path = environ.get("PATH_INFO", "").lstrip("/")
        if not path:
            start_response("302 Found", [("Location", "/pyro/")])
            return [b""]
        if not path.startswith("pyro/"):
            return self.not_found(start_response)
        method = environ.get("REQUEST_METHOD")
        if method == "OPTIONS" and self.cors:
            start_response("200 OK", self._headers(*PREFLIGHT))
            return [b""]
        if method not in ("GET", "POST"):
            return self._text(start_response, "405 Method Not Allowed", "Error 405: Method Not Allowed")
        path = path.removeprefix("pyro/")
        if not path:
            return self.home_page(environ, start_response)
        form = environ.get("QUERY_STRING", "")
        if method == "POST" and "json" not in environ.get("CONTENT_TYPE", ""):  # a call's arguments are never JSON
            form = "&".join(filter(None, [form, _body_of(environ).decode("utf-8", "replace")]))
        return self.answer(environ, path, _parameters_of(form), start_response)

    def not_found(self, start_response: StartResponse) -> Answer:
        """Answer that there is no such page."""
        return self._text(start_response, "404 Not Found", "Error 404: Not Found")

    def home_page(self, environ: dict[str, Any], start_response: StartResponse) -> Answer:
        """Answer with a page that explains the gateway and lists some objects."""
        if not self._has_key(environ, _parameters_of(environ.get("QUERY_STRING", ""))):
            return self._wrong_key(start_response)
        try:
            with self._name_server() as nameserver, self._making_page.guard():  # by one request at a time
                if time.monotonic() > self._page_until or self._page_pattern != self.ns_regex:
                    self._make_page(nameserver)
                page = self._page
        except Exception as error:
            return self._text(start_response, "500 Internal Server Error", f"Error 500: {on_one_line(str(error))}")
        start_response("200 OK", self._headers(("Content-Type", "text/html; charset=utf-8")))
        return [page]

    def _make_page(self, nameserver: Any) -> None:
        began = time.monotonic()
        self._page_pattern = self.ns_regex
        names = sorted(mapping_of(nameserver.list(regex=self._page_pattern), "the listing"))[:MOST_SHOWN]
        uris = {name: self._uri_of(nameserver, name) for name in names}
        end = time.monotonic() + LOOK_SECONDS
        rows = [self._row(name, uri, end - time.monotonic()) for name, uri in uris.items()]
        self._page = _PAGE.format(pattern=html.escape(self._page_pattern), rows="\n".join(rows)).encode("utf-8")
        now = time.monotonic()
        self._page_until = now + KEPT_TIMES * (now - began) if now - began > QUICK_SECONDS else now

    def answer(
        self, environ: dict[str, Any], path: str, parameters: dict[str, Any], start_response: StartResponse
    ) -> Answer:
        """Answer a request for ``path``, a name and a method, with ``parameters`` as the method's arguments."""
        object_name, _, method = path.rpartition("/")
        if not object_name or not method:
            return self.not_found(start_response)
        if not self._has_key(environ, parameters):
            return self._wrong_key(start_response)
        if has_controls(object_name) or not re.match(self.ns_regex, object_name):
            text = "403 Forbidden - access to the requested object has been denied"
            return self._text(start_response, "403 Forbidden", text)
        parameters.pop("$key", None)
        before = current_context.correlation_id
        try:
            requested = environ.get("HTTP_X_PYRO_CORRELATION_ID")
            current_context.correlation_id = uuid.UUID(requested) if requested else uuid.uuid4()
            return self._call(environ, object_name, method, parameters, start_response)
        except Exception as error:
            start_response("500 Internal Server Error", self._headers(JSON_HEADER))
            return [json.dumps(self._class_dicts.simplify(error), default=shown).encode("utf-8")]
        finally:
            current_context.correlation_id = before

    def _has_key(self, environ: dict[str, Any], parameters: dict[str, Any]) -> bool:
        if not self.gateway_key:
            return True
        given = environ.get("HTTP_X_PYRO_GATEWAY_KEY") or parameters.get("$key", "")
        return isinstance(given, str) and any(
            hmac.compare_digest(given.encode(encoding, "replace"), as_bytes(self.gateway_key))
            for encoding in ("utf-8", "latin-1")  # the header's bytes come as the latter
        )

    def _wrong_key(self, start_response: StartResponse) -> Answer:
        return self._text(start_response, "403 Forbidden", "403 Forbidden - incorrect gateway api key")

    def _name_server(self) -> Any:
        nameserver = self._find_name_server()
        nameserver._pyroTimeout = min(self.comm_timeout or CONNECT_SECONDS, CONNECT_SECONDS)
        return nameserver

    def connection_line(self) -> str:
        """Return a line about the name server: where it is, or that there is none yet."""
        try:
            with self._name_server() as nameserver:
                return f"Connected to name server at:  {nameserver._pyroUri}"
        except PyroError:
            return "Not yet connected to a name server."

    def _headers(self, *headers: tuple[str, str]) -> list[tuple[str, str]]:
        if not self.cors:
            return list(headers)
        exposed = "Access-Control-Expose-Headers", "X-Pyro-Correlation-Id"
        return [*headers, ("Access-Control-Allow-Origin", self.cors), exposed]

    def _text(self, start_response: StartResponse, status: str, text: str) -> Answer:
        start_response(status, self._headers(TEXT_HEADER))
        return [text.encode("utf-8")]

    def _uri_of(self, nameserver: Any, name: str) -> Any:
        """Return where a name server says that an object is, or why that is not believed."""
        try:
            uri = nameserver.lookup(name)
            if not is_kind(uri, URI):
                return NamingError("the name server gave no URI")
            check_location(uri, nameserver)
        except NamingError as error:
            return error
        return uri

    def _row(self, name: str, uri: Any, seconds: float) -> str:
        try:
            if isinstance(uri, NamingError):
                raise uri
            if seconds <= 0:
                raise TimeoutError("the objects before it took too long")
            with self._proxy_for(uri) as proxy:
                proxy._pyroTimeout = min(proxy._pyroTimeout, seconds)
                proxy._pyroBind()
                members = [", ".join(sorted(names)) for names in (proxy._pyroMethods, proxy._pyroAttrs)]
        except PyroError as error:
            members = [f"cannot be reached: {error}", ""]
        return "<tr>" + "".join(f"<td>{html.escape(on_one_line(text))}</td>" for text in (name, *members)) + "</tr>"

    def _proxy_for(self, uri: Any) -> Any:
        proxy = self._connect(uri)
        proxy._pyroSerializer = "json"  # what the object answers is handed on as it is
        proxy._pyroHmacKey = self.hmac_key
        proxy._pyroTimeout = min(self.comm_timeout or CONNECT_SECONDS, CONNECT_SECONDS)
        return proxy

    def _call(
        self,
        environ: dict[str, Any],
        object_name: str,
        method: str,
        parameters: dict[str, Any],
        start_response: StartResponse,
    ) -> Answer:
        headers = self._headers(JSON_HEADER, ("X-Pyro-Correlation-Id", str(current_context.correlation_id)))
        with self._name_server() as nameserver:
            uri = self._uri_of(nameserver, object_name)
        if isinstance(uri, NamingError):
            raise uri
        with self._proxy_for(uri) as proxy:
            environ.get(WHEN_GONE, _ignore)(lambda: _hang_up(proxy))
            proxy._pyroGetMetadata()
            if method == "$meta":
                names = {"methods": sorted(proxy._pyroMethods), "attributes": sorted(proxy._pyroAttrs)}
                start_response("200 OK", headers)
                return [json.dumps(names).encode("utf-8")]
            proxy._pyroTimeout = self.comm_timeout or CALL_SECONDS
            message = self._invoke(proxy, method, parameters, environ.get("HTTP_X_PYRO_OPTIONS", "").split(","))
        if message is None:  # oneway
            start_response("200 OK", headers)
            return [b""]
        if message.flags & FLAGS_ITEMSTREAMRESULT:
            raise ProtocolError("the result is a stream of items, which cannot be sent over HTTP")
        status = "500 Internal Server Error" if message.flags & FLAGS_EXCEPTION else "200 OK"
        start_response(status, headers)
        return [payload_of(message)]

    def _invoke(self, proxy: Any, method: str, parameters: dict[str, Any], options: list[str]) -> Any:
        # Nothing of the proxy itself is reachable: a name is one of the remote object's, or there is none.
        proxy._pyroRawWireResponse = True
        if method in proxy._pyroMethods:
            if "oneway" in options:
                proxy._pyroOneway.add(method)
            return proxy._pyroInvoke(method, (), parameters)
        if method not in proxy._pyroAttrs:
            raise AttributeError(f"the remote object has no exposed attribute or method {shown(method)}")
        if parameters:
            raise ValueError("an attribute is read without parameters")
        return proxy._pyroInvoke("__getattr__", (method,), None)


def _hang_up(proxy: Any) -> None:
    """End a call of another thread. The proxy's own `_pyroRelease` is for the thread that owns it."""
    connection = proxy._pyroConnection
    if connection is not None:
        connection.close()


def _ignore(action: Callable[[], Any]) -> None:
    """What a server that does not notice who has gone does with an action."""


class _BadRequestError(Exception):
    """A request that is answered with a status of its own."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def _body_of(environ: dict[str, Any]) -> bytes:
    """Return the form that a POST request carries. Whatever server runs the application: its length is not believed."""
    text = str(environ.get("CONTENT_LENGTH") or "0").strip()
    if not (text.isascii() and text.isdigit()):
        raise _BadRequestError(400, "invalid content length")
    if len(text) > 12 or int(text) > LARGEST_FORM:
        raise _BadRequestError(413, f"a form has {LARGEST_FORM:,} bytes at the most")
    return environ["wsgi.input"].read(int(text))  # type: ignore[no-any-return]


def _parameters_of(form: str) -> dict[str, Any]:
    try:
        return single_values(parse_qs(form[: 2 * LARGEST_FORM], max_num_fields=MOST_PARAMETERS))
    except ValueError as error:
        raise _BadRequestError(400, f"more than {MOST_PARAMETERS:,} parameters") from error


def single_values(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return form parameters with the value in the place of a list of one value."""
    return {
        name: values[0] if isinstance(values, list) and len(values) == 1 else values
        for name, values in parameters.items()
    }


def as_bytes(key: str | bytes) -> bytes:
    """Return a key as bytes."""
    return key.encode("utf-8") if isinstance(key, str) else key


def serve(app: HttpGateway, host: str, port: int) -> None:
    """Serve the application until Ctrl-C, after printing where it is. Raises OSError for an address that is taken."""
    with GatewayServer((host, port), app) as server:
        if app.ns_regex:
            print(f"Exposing objects with names matching:  {app.ns_regex}")
        else:
            print("Warning: exposing all objects (no expose regex set)")
        print(app.connection_line())
        print(f"Pyro HTTP gateway running on http://{host}:{server.server_port}/pyro/", flush=True)
        server.serve_forever()
