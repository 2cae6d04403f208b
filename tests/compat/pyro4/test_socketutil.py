"""Sockets and addresses, in Pyro4's spelling."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from pathlib import Path

import Pyro4
import pytest
from Pyro4 import socketutil
from socket_pairs import make_certificate


def test_addresses_are_texts() -> None:
    assert socketutil.getIpAddress("127.0.0.1") == "127.0.0.1"
    assert socketutil.getIpAddress("localhost", ipVersion=4) == "127.0.0.1"
    assert socketutil.getInterfaceAddress("127.0.0.1") == "127.0.0.1"
    assert (socketutil.getIpVersion("127.0.0.1"), socketutil.getIpVersion("::1")) == (4, 6)
    assert socketutil.getIpVersion("localhost") == 4
    with pytest.raises(OSError, match=r".+"):
        socketutil.getIpAddress("no.such.host.invalid")


def test_data_of_an_exact_size() -> None:
    with (
        socketutil.createSocket(bind=("127.0.0.1", 0)) as listener,
        socketutil.createSocket(connect=listener.getsockname(), timeout=10) as client,
    ):
        served, _ = listener.accept()
        with served:
            data = bytes(range(256)) * 5000
            sender = threading.Thread(target=socketutil.sendData, args=(served, data))
            sender.start()
            assert socketutil.receiveData(client, len(data)) == data
            sender.join(10)
        with pytest.raises(Pyro4.errors.ConnectionClosedError):
            socketutil.receiveData(client, 1)


def test_bind_and_connect_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="both"):
        socketutil.createSocket(bind=("localhost", 0), connect=("localhost", 1))


def test_options_and_ports() -> None:
    with socketutil.createBroadcastSocket(("", 0), reuseaddr=True) as sock:
        assert socketutil.family_str(sock) == "IPv4"
    with socket.socket() as sock:
        for setter in (
            socketutil.setReuseAddr, socketutil.setNoDelay, socketutil.setKeepalive, socketutil.setNoInherit,
        ):  # fmt: skip
            setter(sock)
        assert socketutil.bindOnUnusedPort(sock) == sock.getsockname()[1]
    assert socketutil.findProbablyUnusedPort() > 0
    socketutil.interruptSocket(("127.0.0.1", socketutil.findProbablyUnusedPort()))


def test_contexts_for_tls(tmp_path: Path) -> None:
    context = socketutil.getSSLcontext()
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    with pytest.raises(ValueError, match="one certificate"):
        socketutil.getSSLcontext(servercert="a", clientcert="b")
    for arguments in ({"servercert": "missing"}, {"clientcert": "missing"}, {"cacerts": "missing"}):
        with pytest.raises(OSError, match=r"No such file"):
            socketutil.getSSLcontext(**{name: str(tmp_path / file) for name, file in arguments.items()})
    if shutil.which("openssl") is not None:
        certificate = str(make_certificate(tmp_path))
        assert socketutil.getSSLcontext(servercert=certificate).verify_mode == ssl.CERT_NONE
