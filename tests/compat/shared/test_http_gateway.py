"""Calls over HTTP."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fastpyro
from fastpyro.compat.shared import http_gateway
from fastpyro.compat.shared.http_gateway import HttpGateway, single_values
from fastpyro.compat.shared.http_server import WHEN_GONE
from fastpyro.errors import NamingError
from fastpyro.naming import start_ns
from fastpyro.values.peer_dicts import PYRO5

PATIENCE = 30.0


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

    @fastpyro.expose  # type: ignore[prop-decorator]
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


def ask(gateway: HttpGateway, path: str, query: str = "", method: str = "GET", body: bytes = b"", **more: Any) -> Any:
    """Return status, headers and body of an answer."""
    begun: list[Any] = []
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": method, **more}
    environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
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
    assert "Content-Type" in headers["Access-Control-Allow-Headers"]  # or a browser sends no JSON
    assert ask(gateway, "/pyro/http.subject/size")[1]["Access-Control-Allow-Origin"] == "https://example.org"
    body = io.BytesIO(b'{"first": "="}')
    json_post: dict[str, Any] = {"wsgi.input": body, "CONTENT_LENGTH": "14", "CONTENT_TYPE": "application/json"}
    status, _, answer = ask(gateway, "/pyro/http.subject/join", "first=a", "POST", **json_post)
    assert (status, json.loads(answer)) == (200, json.loads(ask(gateway, "/pyro/http.subject/join", "first=a")[2]))


def test_single_values() -> None:
    assert single_values({"a": ["1"], "b": ["1", "2"], "c": "x"}) == {"a": "1", "b": ["1", "2"], "c": "x"}


MEMBERS_OF_THE_PROXY = [
    "__class__",
    "__init__",
    "__dict__",
    "_pyroReconnect",
    "_pyroUri",
    "_pyroInvoke",
    "__reduce_ex__",
]


@pytest.mark.parametrize("member", [*MEMBERS_OF_THE_PROXY, "noted", "x\x1b[2J\n"])
@pytest.mark.parametrize("options", ["", "oneway"])
def test_members_of_the_proxy_itself_are_out_of_reach(gateway: HttpGateway, member: str, options: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        uri = f"PYRO:x@127.0.0.1:{listener.getsockname()[1]}"
        status, _, answer = ask(gateway, f"/pyro/http.subject/{member}", f"uri={uri}", HTTP_X_PYRO_OPTIONS=options)
        assert (status, json.loads(answer)["__class__"]) == (500, "builtins.AttributeError")
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_every_page_needs_the_key(gateway: HttpGateway) -> None:
    gateway.gateway_key = "kéy"
    for path in ("/pyro/", "/pyro/http.subject/size", "/pyro/http.subject/$meta", "/pyro/secret.subject/size"):
        for query in ("", "$key=", "$key=wrong", "$key=k&$key=k", "$key=\ud800", "$key=%ff"):
            assert ask(gateway, path, query)[0] == 403
    assert ask(gateway, "/pyro/", "$key=k%C3%A9y")[0] == 200
    header = "kéy".encode().decode("latin-1")
    assert ask(gateway, "/pyro/http.subject/size", HTTP_X_PYRO_GATEWAY_KEY=header)[0] == 200


@pytest.mark.parametrize(
    "name", ["xhttp.subject", "Pyro.NameServer", "PYRO:http.subject", "http.subject\n", "http.\x1b"]
)
def test_names_that_may_not_be_called(gateway: HttpGateway, name: str) -> None:
    assert ask(gateway, f"/pyro/{name}/size")[0] == 403


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "1048577", "9" * 5000, "\u0663"])
def test_lengths_are_not_believed(gateway: HttpGateway, length: str) -> None:
    begun: list[str] = []
    environ = {"PATH_INFO": "/pyro/http.subject/join", "REQUEST_METHOD": "POST", "CONTENT_LENGTH": length}
    answer = b"".join(gateway(environ, lambda status, headers: begun.append(status)))
    assert begun[0][:3] in ("400", "413")
    assert answer.startswith(b"Error 4")


def test_parameters_are_bounded(gateway: HttpGateway) -> None:
    assert ask(gateway, "/pyro/http.subject/join", "&".join(f"a{number}=1" for number in range(2000)))[0] == 400


def test_the_home_page_shows_foreign_text_as_text(gateway: HttpGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_connect", lambda uri: (_ for _ in ()).throw(NamingError("<script>\x1b[2J\n")))
    status, _, page = ask(gateway, "/pyro/")
    assert status == 200
    assert b"<script>" not in page
    assert b"cannot be reached: &lt;script&gt;\\x1b[2J\\n" in page


def test_unix_sockets_that_a_name_server_names_are_not_dialled(gateway: HttpGateway, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener, gateway._find_name_server() as nameserver:
        listener.bind(path)
        listener.listen()
        listener.settimeout(0)
        nameserver.register("http.unix", f"PYRO:x@./u:{path}")
        status, _, answer = ask(gateway, "/pyro/http.unix/size")
        assert (status, b"NS_UNIX_LOCATIONS" in answer) == (500, True)
        assert b"NS_UNIX_LOCATIONS" in ask(gateway, "/pyro/")[2]
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_silent_object_does_not_keep_its_caller_for_ever(
    gateway: HttpGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_gateway, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, gateway._find_name_server() as nameserver:
        nameserver.register("http.silent", f"PYRO:x@127.0.0.1:{silent.getsockname()[1]}")
        status, _, answer = ask(gateway, "/pyro/http.silent/size")
    assert (status, json.loads(answer)["__class__"]) == (500, "Pyro5.errors.TimeoutError")


def test_the_home_page_waits_for_all_names_together(gateway: HttpGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_gateway, "LOOK_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, gateway._find_name_server() as nameserver:
        for number in range(8):
            nameserver.register(f"http.a{number}", f"PYRO:x@127.0.0.1:{silent.getsockname()[1]}")
        status, _, answer = ask(gateway, "/pyro/")
    assert (status, answer.count(b"cannot be reached"), answer.count(b"took too long")) == (200, 10, 9)


def test_the_home_page_is_kept_if_it_took_long(gateway: HttpGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server lists all its names for it. Another pattern is another page, and a quick one is made anew."""
    made: list[None] = []
    make = gateway._make_page
    monkeypatch.setattr(gateway, "_make_page", lambda nameserver: made.append(make(nameserver)))
    monkeypatch.setattr(http_gateway, "QUICK_SECONDS", -1.0)
    monkeypatch.setattr(http_gateway, "KEPT_TIMES", 1e6)
    pages = {ask(gateway, "/pyro/")[2] for _ in range(5)}
    assert (len(pages), len(made)) == (1, 1)
    gateway.ns_regex = "secret"
    assert b"secret.subject" in ask(gateway, "/pyro/")[2]
    monkeypatch.setattr(http_gateway, "QUICK_SECONDS", 1e6)
    gateway.ns_regex = r"http\."
    before = len(made)
    assert [ask(gateway, "/pyro/")[0] for _ in range(2)] == [200, 200]
    assert len(made) == before + 2


def test_a_client_that_has_gone_ends_its_call(gateway: HttpGateway) -> None:
    actions: list[Any] = []
    when_gone: dict[str, Any] = {WHEN_GONE: actions.append}
    begun, gate = threading.Event(), threading.Event()

    class Slow:
        @fastpyro.expose
        def wait(self) -> None:
            begun.set()
            gate.wait(PATIENCE)

    def hang_up() -> None:
        assert begun.wait(PATIENCE)
        for action in actions:
            action()

    with fastpyro.Daemon(host="127.0.0.1") as daemon, gateway._find_name_server() as nameserver:
        nameserver.register("http.slow", daemon.register(Slow()))
        threads = [threading.Thread(target=work) for work in (daemon.requestLoop, hang_up)]
        for thread in threads:
            thread.start()
        status, _, answer = ask(gateway, "/pyro/http.slow/wait", **when_gone)
        gate.set()
        daemon.shutdown()
        for thread in threads:
            thread.join(PATIENCE)
    assert (status, json.loads(answer)["__class__"]) == (500, "Pyro5.errors.ConnectionClosedError")
