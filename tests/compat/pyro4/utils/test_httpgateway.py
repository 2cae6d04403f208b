"""The gateway from HTTP, as a WSGI application."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

import Pyro4
import pytest
from Pyro4.utils import httpgateway
from Pyro4.utils.httpgateway import pyro_app


class Service:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    @Pyro4.expose
    def echo(self, message: Any) -> Any:
        self.heard.append((message, Pyro4.current_context.correlation_id))
        return message

    @Pyro4.expose
    def fail(self) -> None:
        raise ValueError("on purpose")

    @Pyro4.expose
    def stream(self) -> Iterator[int]:
        yield 1

    @Pyro4.expose  # type: ignore[prop-decorator]
    @property
    def state(self) -> str:
        return "fine"


class Answer:
    """What the application answers to one request."""

    def __init__(self, path: str, query: str = "", method: str = "GET", form: bytes = b"", **headers: str) -> None:
        environ: dict[str, Any] = {
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": method,
            "CONTENT_LENGTH": str(len(form)),
            "wsgi.input": io.BytesIO(form),
            **headers,
        }
        setup_testing_defaults(environ)
        self.body = b"".join(pyro_app(environ, self.start)).decode("utf-8")

    def start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status = int(status.split()[0])
        self.headers = dict(headers)


@pytest.fixture
def service(name_server: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> Service:
    service = Service()
    with Pyro4.locateNS() as found:
        found.register("http.service", serve(service))
        found.register("http.gone", "PYRO:x@localhost:1")
    for name, value in {"ns_regex": r"http\.", "gateway_key": None, "hmac_key": None, "comm_timeout": 5.0}.items():
        monkeypatch.setattr(pyro_app, name, value)
    return service


def test_calls(service: Service) -> None:
    answer = Answer("/pyro/http.service/echo", "message=hello")
    assert (answer.status, json.loads(answer.body)) == (200, "hello")
    assert answer.headers["Content-Type"].startswith("application/json")
    assert json.loads(Answer("/pyro/http.service/echo", "message=a&message=b").body) == ["a", "b"]
    assert json.loads(Answer("/pyro/http.service/echo", method="POST", form=b"message=hello").body) == "hello"
    assert json.loads(Answer("/pyro/http.service/state").body) == "fine"


def test_metadata(service: Service) -> None:
    names = {"methods": ["echo", "fail", "stream"], "attributes": ["state"]}
    assert json.loads(Answer("/pyro/http.service/$meta").body) == names


def test_correlation(service: Service) -> None:
    identity = str(uuid.uuid4())
    answer = Answer("/pyro/http.service/echo", "message=x", HTTP_X_PYRO_CORRELATION_ID=identity)
    assert answer.headers["X-Pyro-Correlation-Id"] == identity == str(service.heard[0][1])
    assert Answer("/pyro/http.service/echo", "message=x").headers["X-Pyro-Correlation-Id"] != identity
    assert Pyro4.current_context.correlation_id is None


def test_oneway(service: Service) -> None:
    answer = Answer("/pyro/http.service/echo", "message=x", HTTP_X_PYRO_OPTIONS="oneway")
    assert (answer.status, answer.body) == (200, "")
    assert json.loads(Answer("/pyro/http.service/echo", "message=y").body) == "y"


def test_errors_are_dicts(service: Service) -> None:
    answer = Answer("/pyro/http.service/fail")
    error = json.loads(answer.body)
    assert (answer.status, error["__class__"], error["args"]) == (500, "builtins.ValueError", ["on purpose"])
    answer = Answer("/pyro/http.service/nothing")
    assert (answer.status, json.loads(answer.body)["__class__"]) == (500, "builtins.AttributeError")
    answer = Answer("/pyro/http.nobody/echo")
    assert (answer.status, json.loads(answer.body)["__class__"]) == (500, "Pyro4.errors.NamingError")
    assert Answer("/pyro/http.service/stream").status == 500
    assert Answer("/pyro/http.service/state", "message=x").status == 500
    assert Answer("/pyro/http.service/echo", HTTP_X_PYRO_CORRELATION_ID="bogus").status == 500


def test_only_what_is_exposed(service: Service) -> None:
    answer = Answer("/pyro/Pyro.NameServer/list")
    assert (answer.status, "denied" in answer.body) == (403, True)


def test_keys(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyro_app, "gateway_key", b"secret")
    assert Answer("/pyro/http.service/echo", "message=x").status == 403
    assert Answer("/pyro/http.service/echo", "message=x&$key=wrong").status == 403
    assert json.loads(Answer("/pyro/http.service/echo", "message=x&$key=secret").body) == "x"
    assert Answer("/pyro/http.service/echo", "message=x", HTTP_X_PYRO_GATEWAY_KEY="secret").status == 200


def test_pages(service: Service) -> None:
    answer = Answer("/")
    assert (answer.status, answer.headers["Location"]) == (302, "/pyro/")
    page = Answer("/pyro/")
    assert page.status == 200
    assert "http.service" in page.body
    assert "echo, fail, stream" in page.body
    assert "cannot be reached" in page.body
    assert Answer("/bogus").status == Answer("/pyro/http.service").status == 404
    assert Answer("/pyro/http.service/echo", method="PUT").status == 405


def test_without_a_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pyro4.config, "NS_PORT", Pyro4.socketutil.findProbablyUnusedPort())
    monkeypatch.setattr(httpgateway, "get_nameserver", lambda hmac: Pyro4.locateNS(broadcast=False, hmac_key=hmac))
    assert Answer("/pyro/").status == 500
    assert Answer("/pyro/http.service/echo").status == 500


def test_parameters() -> None:
    assert httpgateway.singlyfy_parameters({"one": ["a"], "two": ["a", "b"]}) == {"one": "a", "two": ["a", "b"]}


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    served = []
    monkeypatch.setattr("socketserver.BaseServer.serve_forever", lambda server: served.append(server))
    monkeypatch.setenv("PYRO_HTTPGATEWAY_KEY", "secret")
    for name in ("ns_regex", "gateway_key", "hmac_key", "comm_timeout"):
        monkeypatch.setattr(pyro_app, name, None)
    httpgateway.main(["-p", "0", "-e", "some"])
    assert len(served) == 1
    assert (pyro_app.gateway_key, pyro_app.ns_regex, pyro_app.comm_timeout) == (b"secret", "some", 0.0)
    assert "Exposing objects with names matching:  some" in capsys.readouterr().out
