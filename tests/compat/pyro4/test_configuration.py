"""Pyro4's configuration items, over those of fastpyro."""

from __future__ import annotations

import pickle
from typing import Any
from unittest import mock

import Pyro4
import pytest
from Pyro4.configuration import ITEMS, main

from fastpyro.config import config as underlying


@pytest.fixture(autouse=True)
def defaults() -> None:
    Pyro4.config.reset(useenvironment=False)


def test_defaults_are_those_of_pyro4() -> None:
    config = Pyro4.config
    assert config.SERIALIZER == "serpent"
    assert {"serpent", "marshal", "json"} == config.SERIALIZERS_ACCEPTED
    assert (config.THREADPOOL_SIZE, config.THREADPOOL_SIZE_MIN) == (40, 4)
    assert (config.MAX_MESSAGE_SIZE, config.COMMTIMEOUT, config.NATHOST) == (0, 0.0, None)
    assert config.PICKLE_PROTOCOL_VERSION == pickle.HIGHEST_PROTOCOL
    assert config.BROADCAST_ADDRS == "<broadcast>, 0.0.0.0"
    assert {name: value for name, value in config.asDict().items() if value != ITEMS[name]} == {}


def test_items_of_fastpyro_are_those_of_fastpyro() -> None:
    Pyro4.config.COMMTIMEOUT = 1.5
    Pyro4.config.SERVERTYPE = "multiplex"
    assert (underlying.COMMTIMEOUT, underlying.SERVERTYPE) == (1.5, "multiplex")
    assert underlying.NS_BROADCAST


def test_items_that_fastpyro_does_not_have_are_remembered() -> None:
    Pyro4.config.SOCK_NODELAY = True
    assert Pyro4.config.SOCK_NODELAY is True


def test_what_there_is_not_cannot_be_switched_on() -> None:
    Pyro4.config.FLAME_ENABLED = False
    with pytest.raises(ValueError, match="FLAME_ENABLED"):
        Pyro4.config.FLAME_ENABLED = True


def test_unknown_items_are_attribute_errors() -> None:
    with pytest.raises(AttributeError):
        Pyro4.config.BOGUS  # noqa: B018
    with pytest.raises(AttributeError):
        Pyro4.config.BOGUS = 1


def test_serializers_are_accepted_as_a_set() -> None:
    Pyro4.config.SERIALIZERS_ACCEPTED.add("msgpack")
    Pyro4.config.SERIALIZERS_ACCEPTED.discard("marshal")
    assert set(underlying.SERIALIZERS_ACCEPTED) == {"serpent", "json", "msgpack", "native"}
    Pyro4.config.SERIALIZERS_ACCEPTED = {"json"}
    assert set(underlying.SERIALIZERS_ACCEPTED) == {"json", "native"}


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRO_COMMTIMEOUT", "2.5")
    monkeypatch.setenv("PYRO_METADATA", "off")
    monkeypatch.setenv("PYRO_SERIALIZERS_ACCEPTED", "json,serpent")
    monkeypatch.setenv("PYRO_NO_SUCH_ITEM", "1")
    Pyro4.config.reset()
    assert (Pyro4.config.COMMTIMEOUT, Pyro4.config.METADATA) == (2.5, False)
    assert {"json", "serpent"} == Pyro4.config.SERIALIZERS_ACCEPTED
    Pyro4.config.reset(False)
    assert (Pyro4.config.COMMTIMEOUT, Pyro4.config.METADATA) == (0.0, True)


def test_bad_value_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRO_METADATA", "perhaps")
    with pytest.raises(ValueError, match="PYRO_METADATA"):
        Pyro4.config.reset()


def test_addresses() -> None:
    Pyro4.config.BROADCAST_ADDRS = "192.0.2.1, '', example.org"
    assert Pyro4.config.BROADCAST_ADDRS == "192.0.2.1, '', example.org"
    assert Pyro4.config.parseAddressesString(Pyro4.config.BROADCAST_ADDRS) == ["192.0.2.1", "", "example.org"]
    assert underlying.BROADCAST_ADDRS == ["192.0.2.1", "", "example.org"]


def test_dump(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Pyro version: 4.82"
    assert lines[3] == "Protocol version: 48"
    assert "SERIALIZER = serpent" in lines
    assert "LOGLEVEL = None" in lines
    assert lines[5:] == sorted(lines[5:])
    assert "SERIALIZERS_ACCEPTED" in Pyro4.config.dump()
    Pyro4.config.asDict()["SERIALIZERS_ACCEPTED"].clear()
    assert Pyro4.config.SERIALIZERS_ACCEPTED


def test_a_new_limit_of_messages_counts_for_open_connections(serve: Any) -> None:
    class Echo:
        @Pyro4.expose
        def echo(self, value: object) -> object:
            return value

    with Pyro4.Proxy(serve(Echo())) as proxy:
        assert proxy.echo("a" * 5000)
        Pyro4.config.MAX_MESSAGE_SIZE = 2000
        with pytest.raises(Pyro4.errors.MessageTooLargeError):
            proxy.echo("a" * 5000)
        Pyro4.config.MAX_MESSAGE_SIZE = 0
        assert proxy.echo("a" * 5000)


def test_items_can_be_patched_for_a_while() -> None:
    Pyro4.config.COMMTIMEOUT = 1.0
    with mock.patch.object(Pyro4.config, "COMMTIMEOUT", 2.0):
        assert underlying.COMMTIMEOUT == 2.0
    assert underlying.COMMTIMEOUT == 1.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pyro4.config, "SERIALIZER", "json")
        assert underlying.SERIALIZER == "json"
    assert underlying.SERIALIZER == "serpent"
