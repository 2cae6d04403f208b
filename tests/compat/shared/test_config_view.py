"""A peer's configuration over that of fastpyro."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastpyro.compat.shared.config_view import PeerConfiguration
from fastpyro.config import config

ITEMS = {
    "COMMTIMEOUT": 0.0,
    "SERIALIZER": "serpent",
    "SERIALIZERS_ACCEPTED": {"serpent"},
    "LOGWIRE": False,
    "FLAME_ENABLED": False,
    "MAX_MESSAGE_SIZE": 0,
    "NS_BCHOST": None,
    "BROADCAST_ADDRS": ["<broadcast>"],
}


@pytest.fixture
def view() -> Iterator[PeerConfiguration]:
    before = config.as_dict()
    yield PeerConfiguration(ITEMS)
    for name, value in before.items():
        setattr(config, name, value)


def test_items_are_those_of_fastpyro_or_its_own(view: PeerConfiguration) -> None:
    assert (view.SERIALIZER, config.SERIALIZER) == ("serpent", "serpent")
    view.COMMTIMEOUT = 1.5
    assert config.COMMTIMEOUT == 1.5
    view.LOGWIRE = True
    assert view.LOGWIRE is True
    view.MAX_MESSAGE_SIZE = 1 << 40
    assert config.MAX_MESSAGE_SIZE == 0xFFFFFFFF
    assert {"LOGWIRE", "FLAME_ENABLED"} <= set(dir(view))


def test_the_set_of_accepted_serializers_is_alive(view: PeerConfiguration) -> None:
    assert config.SERIALIZERS_ACCEPTED == ["native", "serpent"]
    view.SERIALIZERS_ACCEPTED.add("marshal")
    assert config.SERIALIZERS_ACCEPTED == ["marshal", "native", "serpent"]
    view.SERIALIZERS_ACCEPTED.discard("serpent")
    view.SERIALIZERS_ACCEPTED.remove("marshal")
    view.SERIALIZERS_ACCEPTED.update({"json"})
    assert config.SERIALIZERS_ACCEPTED == ["json", "native"]
    view.SERIALIZERS_ACCEPTED.clear()
    assert config.SERIALIZERS_ACCEPTED == ["native"]
    view.SERIALIZERS_ACCEPTED = {"serpent"}
    assert config.SERIALIZERS_ACCEPTED == ["native", "serpent"]


def test_unknown_and_refused(view: PeerConfiguration) -> None:
    with pytest.raises(AttributeError, match="NOTHING"):
        view.NOTHING  # noqa: B018
    with pytest.raises(AttributeError, match="NOTHING"):
        view.NOTHING = 1
    with pytest.raises(ValueError, match="no flame"):
        view.FLAME_ENABLED = True


def test_environment(view: PeerConfiguration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRO_COMMTIMEOUT", "2.5")
    monkeypatch.setenv("PYRO_LOGWIRE", "yes")
    monkeypatch.setenv("PYRO_SERIALIZERS_ACCEPTED", "json, serpent")
    monkeypatch.setenv("PYRO_BROADCAST_ADDRS", "a, b")
    monkeypatch.setenv("PYRO_NS_BCHOST", "here")
    view.reset()
    assert (view.COMMTIMEOUT, view.LOGWIRE, view.NS_BCHOST, view.BROADCAST_ADDRS) == (2.5, True, "here", ["a", "b"])
    assert {"json", "serpent"} == view.SERIALIZERS_ACCEPTED
    view.reset(False)
    assert view.COMMTIMEOUT == 0.0
    monkeypatch.setenv("PYRO_LOGWIRE", "perhaps")
    with pytest.raises(ValueError, match="PYRO_LOGWIRE"):
        view.reset()


def test_items_show_what_the_program_set(view: PeerConfiguration) -> None:
    view.COMMTIMEOUT = 3
    assert (repr(view.COMMTIMEOUT), repr(config.COMMTIMEOUT)) == ("3", "3.0")
    config.COMMTIMEOUT = 4.0
    assert view.COMMTIMEOUT == 4.0
    view.SERIALIZER = view.COMMTIMEOUT = None  # not set: the peer's default counts
    assert (view.SERIALIZER, config.SERIALIZER, view.COMMTIMEOUT, config.COMMTIMEOUT) == (None, "serpent", None, 0.0)
    view.BROADCAST_ADDRS.append("192.0.2.1")
    assert config.BROADCAST_ADDRS == ["<broadcast>", "192.0.2.1"]


def test_what_the_environment_says_of_other_items(view: PeerConfiguration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRO_SPIN", "7")
    view.reset(False)
    assert config.SPIN != 7
    view.reset()
    assert config.SPIN == 7


def test_copies_and_texts(view: PeerConfiguration) -> None:
    copied = view.copy()
    view.COMMTIMEOUT = 9.0
    assert copied.COMMTIMEOUT == 0.0  # type: ignore[attr-defined]
    assert copied.as_dict()["SERIALIZER"] == "serpent"
    assert "COMMTIMEOUT = 0.0" in copied.copy().dump()
    assert view.as_dict()["COMMTIMEOUT"] == 9.0
    assert "COMMTIMEOUT = 9.0" in view.dump()
