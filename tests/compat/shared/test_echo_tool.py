"""The echo server command of the peers; tests/compat/test_pyro5.py runs it as a program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastpyro.compat.shared.echo_tool import run_echo_server
from fastpyro.config import config


@pytest.fixture(autouse=True)
def server_type() -> Iterator[None]:
    before = config.SERVERTYPE
    yield
    config.SERVERTYPE = before


def test_without_looping(capsys: pytest.CaptureFixture[str]) -> None:
    made = run_echo_server(["-H", "127.0.0.1", "-k", "secret"], True, key=True)
    assert made is not None
    daemon, echo, uri = made
    with daemon:
        assert daemon._pyroHmacKey == b"secret"
        assert echo.echo([1]) == [1]
        assert str(uri) in capsys.readouterr().out


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    made = run_echo_server(["-q", "-v", "-H", "127.0.0.1"], True, key=False)
    assert made is not None
    made[0].close()
    assert made[1].verbose
    assert capsys.readouterr().out == ""
