"""Fixtures of the servers' tests: each kind of server, and its certificate."""

from __future__ import annotations

import shutil

import pytest
from server_kinds import KINDS, Start
from socket_pairs import make_certificate

from fastpyro.config import config


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command makes the certificate")
    return str(make_certificate(tmp_path_factory.mktemp("tls")))


@pytest.fixture(params=list(KINDS))
def start(request: pytest.FixtureRequest, certificate: str, monkeypatch: pytest.MonkeyPatch) -> Start:
    if request.param.startswith("tls"):
        monkeypatch.setattr(config, "SSL", True)
        monkeypatch.setattr(config, "SSL_CACERTS", certificate)
    return Start(request.param, certificate)
