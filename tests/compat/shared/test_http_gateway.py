"""Calls over HTTP."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import fastpyro
from fastpyro.class_dicts import PYRO5
from fastpyro.compat.shared.http_gateway import HttpGateway, single_values
from fastpyro.naming import start_ns


class Subject:
    """What is called."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    @fastpyro.expose
    def join(self, first: str, second: str = "none") -> str:
        return f"{first}-{second}"

    @fastpyro.expose
    def fail(self) -> None:
        raise ValueError("why")

    @fastpyro.expose
    def numbers(self) -> Iterator[int]:
        yield 1

    @fastpyro.expose
    def note(self, text: str) -> None:
        self.noted.append(text)

    @fastpyro.expose
    @property
    def size(self) -> int:
        return 7


@pytest.fixture
def gateway() -> Iterator[HttpGateway]:
    _, name_server, _ = start_ns("127.0.0.1", 0)
    with name_server, fastpyro.Daemon(host="127.0.0.1") as daemon:
        uri = daemon.register(Subject())
        assert name_server.nameserver is not None
        name_server.nameserver.register("http.subject", uri)
        name_server.nameserver.register("secret.subject", uri)
        name_server.nameserver.register("http.away", "PYRO:x@127.0.0.1:1")
        threads = [threading.Thread(target=each.requestLoop) for each in (name_server, daemon)]
        for thread in threads:
            thread.start()
        port = name_server.sock.getsockname()[1]
        yield HttpGateway(lambda: fastpyro.locate_ns("127.0.0.1", port), fastpyro.Proxy, PYRO5)
        for each in (name_server, daemon):
            each.shutdown()
        for thread in threads:
            thread.join()


def ask(gateway: HttpGateway, path: str, query: str = "", method: str = "GET", body: bytes = b"", **more: str) -> Any:
    """Return status, headers and body of an answer."""
    begun: list[Any] = []
    environ = {"PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": method, **more}
    environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}  # type: ignore[dict-item]
    answer = b"".join(gateway(environ, lambda status, headers: begun.extend((status, dict(headers)))))
    return int(begun[0].split()[0]), begun[1], answer


def test_calls_and_attributes(gateway: HttpGateway) -> None:
    status, headers, answer = ask(gateway, "/pyro/http.subject/join", "first=a&second=b")
    assert (status, json.loads(answer)) == (200, "a-b")
    assert headers["Content-Type"].startswith("application/json")
    assert len(headers["X-Pyro-Correlation-Id"]) == 36
    assert json.loads(ask(gateway, "/pyro/http.subject/join", "", "POST", b"first=x")[2]) == "x-none"
    assert json.loads(ask(gateway, "/pyro/http.subject/size")[2]) == 7
    identity = "00000000-0000-0000-0000-000000000001"
    answer = ask(gateway, "/pyro/http.subject/size", HTTP_X_PYRO_CORRELATION_ID=identity)
    assert answer[1]["X-Pyro-Correlation-Id"] == identity
    meta = json.loads(ask(gateway, "/pyro/http.subject/$meta")[2])
    assert meta == {"methods": ["fail", "join", "note", "numbers"], "attributes": ["size"]}
    assert ask(gateway, "/pyro/http.subject/note", "text=x", HTTP_X_PYRO_OPTIONS="oneway")[2] == b""


def test_errors(gateway: HttpGateway) -> None:
    status, _, answer = ask(gateway, "/pyro/http.subject/fail")
    error = json.loads(answer)
    assert (status, error["__class__"], error["args"]) == (500, "builtins.ValueError", ["why"])
    for path, query in (("http.nobody/x", ""), ("http.subject/nothing", ""), ("http.subject/size", "a=1")):
        status, _, answer = ask(gateway, f"/pyro/{path}", query)
        assert (status, json.loads(answer)["__exception__"]) == (500, True)
    assert b"stream of items" in ask(gateway, "/pyro/http.subject/numbers")[2]
    assert ask(gateway, "/pyro/http.subject/size", HTTP_X_PYRO_CORRELATION_ID="bad")[0] == 500


def test_pages_and_refusals(gateway: HttpGateway) -> None:
    assert ask(gateway, "/")[:2] == (302, {"Location": "/pyro/"})
    status, _, page = ask(gateway, "/pyro/")
    assert status == 200
    assert b"http.subject" in page
    assert b"cannot be reached" in page
    assert b"secret" not in page
    assert ask(gateway, "/elsewhere")[0] == 404
    assert ask(gateway, "/pyro/nothing")[0] == 404
    assert ask(gateway, "/pyro/secret.subject/size")[0] == 403
    assert ask(gateway, "/pyro/http.subject/size", method="DELETE")[0] == 405
    assert ask(gateway, "/pyro/http.subject/size", method="OPTIONS")[0] == 405


def test_keys(gateway: HttpGateway) -> None:
    gateway.gateway_key = b"key"
    assert ask(gateway, "/pyro/http.subject/size")[0] == 403
    assert ask(gateway, "/pyro/http.subject/size", "$key=wrong")[0] == 403
    assert ask(gateway, "/pyro/http.subject/join", "$key=key&first=a")[0] == 200
    assert ask(gateway, "/pyro/http.subject/size", HTTP_X_PYRO_GATEWAY_KEY="key")[0] == 200


def test_cors(gateway: HttpGateway) -> None:
    gateway.cors = "https://example.org"
    status, headers, _ = ask(gateway, "/pyro/http.subject/size", method="OPTIONS")
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, "https://example.org")
    assert ask(gateway, "/pyro/http.subject/size")[1]["Access-Control-Allow-Origin"] == "https://example.org"


def test_single_values() -> None:
    assert single_values({"a": ["1"], "b": ["1", "2"], "c": "x"}) == {"a": "1", "b": ["1", "2"], "c": "x"}
