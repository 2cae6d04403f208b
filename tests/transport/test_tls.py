"""TLS between proxies and daemons, as the configuration says it."""

from __future__ import annotations

import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from socket_pairs import make_certificate

import fastpyro
from fastpyro.config import config
from fastpyro.errors import CommunicationError, SecurityError
from fastpyro.transport import tls

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificate")


class Subject:
    """What is called."""

    @fastpyro.expose
    def add(self, a: int, b: int) -> int:
        return a + b

    @fastpyro.expose
    def echo(self, value: Any) -> Any:
        return value

    @fastpyro.expose
    def certificate(self) -> Any:
        client = fastpyro.current_context.client
        assert client is not None
        shown = client.getpeercert()
        return shown and dict(pair[0] for pair in shown["subject"])["commonName"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_certificate(tmp_path_factory.mktemp("tls")))


@pytest.fixture(autouse=True)
def settings(certificate: str) -> Iterator[None]:
    before = config.as_dict()
    config.SSL, config.SSL_SERVERCERT, config.SSL_CACERTS = True, certificate, certificate
    config.HANDSHAKE_TIMEOUT = 5.0
    yield
    for name, value in before.items():
        setattr(config, name, value)


@contextmanager
def served(server_type: str = "thread") -> Iterator[Any]:
    config.SERVERTYPE = server_type
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        daemon.register(Subject(), "subject")
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        try:
            yield daemon
        finally:
            daemon.shutdown()
            thread.join()


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
@pytest.mark.parametrize("serializer", ["native", "serpent"])
def test_calls(server_type: str, serializer: str) -> None:
    with served(server_type) as daemon, fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
        proxy._pyroSerializer = serializer
        assert proxy.add(1, 2) == 3
        channel: Any = proxy._pyroConnection
        assert channel.sock.version() in {"TLSv1.2", "TLSv1.3"}
        assert channel.getpeercert()["subject"]
        big = "x" * 3_000_000  # many records
        assert proxy.echo(big) == big
        batch = fastpyro.batch(proxy)
        for number in range(2000):
            batch.add(number, 1)
        assert list(batch())[-1] == 2000
        assert proxy.certificate() is None


def test_several_clients_at_once() -> None:
    with served() as daemon:
        results: list[int] = []

        def work() -> None:
            with fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
                results.extend(proxy.add(number, 1) for number in range(100))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == sorted(list(range(1, 101)) * 8)


def test_both_sides_show_certificates(certificate: str) -> None:
    config.SSL_REQUIRECLIENTCERT = True
    with served() as daemon:
        config.SSL_CLIENTCERT = certificate
        with fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
            assert proxy.certificate() == "localhost"
        config.SSL_CLIENTCERT = ""
        with fastpyro.Proxy(daemon.uriFor("subject")) as proxy, pytest.raises(CommunicationError):
            proxy.add(1, 2)
        with fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
            config.SSL_CLIENTCERT = certificate
            assert proxy.add(1, 2) == 3


def test_pickles_are_read_from_who_has_shown_a_certificate(certificate: str) -> None:
    config.SSL_REQUIRECLIENTCERT = True
    config.SERIALIZERS_ACCEPTED, config.PICKLES_ON_LOOPBACK = ["native", "serpent", "pickle"], False
    with served() as daemon, fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
        proxy._pyroSerializer = "pickle"
        with pytest.raises(SecurityError, match="both sides show certificates"):
            proxy.add(1, 2)
        config.SSL_CLIENTCERT = certificate
        assert proxy.echo((1, {2})) == (1, {2})


def test_a_certificate_that_nobody_vouches_for() -> None:
    with served() as daemon:
        config.SSL_CACERTS = ""
        with pytest.raises(CommunicationError, match="certificate verify failed"):
            fastpyro.Proxy(daemon.uriFor("subject"))._pyroBind()
        with pytest.raises(CommunicationError, match="certificate"):
            fastpyro.Proxy(f"PYRO:subject@localhost:{daemon.sock.getsockname()[1]}")._pyroBind()


def test_plain_clients_and_silent_ones_harm_nobody() -> None:
    config.HANDSHAKE_TIMEOUT = 0.3
    with served() as daemon:
        address = daemon.sock.getsockname()
        silent = socket.create_connection(address)
        for data in (b"PYRO\x01\xf6" + bytes(40), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", bytes(1000)):
            with socket.create_connection(address) as plain:
                plain.sendall(data)
                plain.settimeout(10)
                try:
                    while plain.recv(1000):
                        pass
                except ConnectionError:
                    pass  # it hung up in one way or the other
        with fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
            assert proxy.add(1, 2) == 3
        silent.settimeout(10)
        assert silent.recv(1) == b""
        silent.close()
        config.SSL = False
        with pytest.raises(CommunicationError):
            fastpyro.Proxy(daemon.uriFor("subject"))._pyroBind()


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
def test_only_one_end_uses_ssl(server_type: str, caplog: pytest.LogCaptureFixture) -> None:
    with served(server_type) as daemon:
        config.SSL = False
        with pytest.raises(CommunicationError, match=r"perhaps the other end uses SSL: config\.SSL is off here"):
            fastpyro.Proxy(daemon.uriFor("subject"))._pyroBind()
    lines = [record.getMessage() for record in caplog.records if "SSL" in record.getMessage()]
    assert len(lines) == 1, lines
    assert "no SSL handshake, perhaps its SSL is off" in lines[0]
    with served(server_type) as daemon:
        config.SSL = True
        with pytest.raises(CommunicationError, match="other end seems not to use SSL: its SSL is off"):
            fastpyro.Proxy(daemon.uriFor("subject"))._pyroBind()


def test_files_that_cannot_be_used_are_named(certificate: str, tmp_path: Path) -> None:
    nowhere, other, key = str(tmp_path / "nowhere.pem"), str(tmp_path / "other.pem"), str(tmp_path / "key.pem")
    Path(other).write_text("no certificate")
    Path(key).write_text("no key")
    for server, side in ((True, "SERVER"), (False, "CLIENT")):
        for files, told in (
            ((nowhere, "", "", ""), f"SSL_{side}CERT '{nowhere}': No such file"),
            ((certificate, nowhere, "", ""), f"SSL_{side}KEY '{nowhere}': No such file"),
            (
                (other, "", "", ""),
                f"SSL_{side}CERT '{other}' (the key must be in it, too, as SSL_{side}KEY is not set)",
            ),
            ((certificate, key, "", ""), f"SSL_{side}CERT '{certificate}' with SSL_{side}KEY '{key}': "),
            ((certificate, "", "", nowhere), f"SSL_CACERTS '{nowhere}': No such file"),
        ):
            with pytest.raises(OSError, match=re.escape(told)):
                tls.make_context(server, *files, True)


def test_contexts() -> None:
    assert tls.server_context() is tls.server_context()
    config.SSL_SERVERCERT = ""
    with pytest.raises(ValueError, match="SSL_SERVERCERT"):
        fastpyro.Daemon()
    config.SSL_SERVERCERT = "/no/such/file"
    with pytest.raises(OSError, match="No such file"):
        fastpyro.Daemon()
    config.SSL_REQUIRECLIENTCERT, config.SSL_CACERTS = True, ""
    with pytest.raises(ValueError, match="SSL_CACERTS"):
        tls.server_context()
    config.SSL = False
    assert tls.server_context() is None
    assert tls.client_context() is None


def test_a_folder_of_authorities(tmp_path: Path) -> None:
    config.SSL_CACERTS = str(tmp_path)
    context = tls.client_context()
    assert context is not None
    assert context.get_ca_certs() == []


def replace(path: Path, content: bytes) -> None:
    """Put another file in a file's place, as those do it who renew certificates."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
def test_replaced_files_count_for_the_next_connection(certificate: str, tmp_path: Path, server_type: str) -> None:
    old = Path(certificate).read_bytes()
    new = make_certificate(tmp_path).read_bytes()
    shown, trusted_by_daemon, trusted_by_client = (tmp_path / name for name in ("shown", "daemons", "clients"))
    for path in (shown, trusted_by_daemon, trusted_by_client):
        path.write_bytes(old)
    config.SSL_SERVERCERT, config.SSL_REQUIRECLIENTCERT = str(shown), True
    config.SSL_CACERTS, config.SSL_CLIENTCERT = str(trusted_by_daemon), certificate
    with served(server_type) as daemon:
        config.SSL_CACERTS = str(trusted_by_client)

        def answers() -> bool:
            with fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
                try:
                    return bool(proxy.add(1, 2) == 3)
                except CommunicationError:
                    return False

        assert answers()
        replace(shown, new)
        assert not answers()  # the client does not know it
        replace(trusted_by_client, new)
        assert answers()
        replace(trusted_by_daemon, new)
        assert not answers()  # the daemon does not trust the client's any more
        config.SSL_CLIENTCERT = str(shown)
        assert answers()
        shown.write_bytes(b"half a certi")  # in its place, and being written
        config.SSL_CLIENTCERT = str(trusted_by_client)
        assert answers()
        trusted_by_daemon.unlink()
        assert not answers()
        trusted_by_daemon.write_bytes(new)
        shown.write_bytes(new)
        assert answers()


def test_a_replaced_file_in_a_folder_of_authorities(certificate: str, tmp_path: Path) -> None:
    config.SSL_CACERTS = str(tmp_path)
    seen = [tls.client_context()]
    assert tls.client_context() is seen[0]
    authority = tmp_path / "authority.pem"
    for content in (b"x", Path(certificate).read_bytes()):
        authority.write_bytes(content)
        seen.append(tls.client_context())
    authority.unlink()
    seen.append(tls.client_context())
    assert len(set(map(id, seen))) == 4


def test_both_sides_are_checked_only_by_authorities_that_were_named(certificate: str) -> None:
    class Socket:
        def __init__(self, context: Any) -> None:
            self.context = context

    def checked(context: Any) -> bool:
        return tls.has_checked_both_sides(Socket(context))  # type: ignore[arg-type]

    assert not checked(None)
    assert not tls.has_checked_both_sides(object())  # type: ignore[arg-type]
    assert checked(tls.make_context(False, certificate, "", "", certificate, True))
    assert checked(tls.make_context(True, certificate, "", "", certificate, True))
    assert not checked(tls.make_context(True, certificate, "", "", certificate, False))
    assert not checked(tls.make_context(False, "", "", "", certificate, True))
    assert not checked(tls.make_context(False, certificate, "", "", "", True))  # anybody may have one of the system's


def test_unix_sockets_stay_plain(tmp_path: Path) -> None:
    with fastpyro.Daemon(unixsocket=str(tmp_path / "socket")) as daemon:
        daemon.register(Subject(), "subject")
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        with fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
            assert proxy.add(1, 2) == 3
            assert proxy.certificate() is None
        daemon.shutdown()
        thread.join()
