"""Configuration items: defaults, checks, environment, the object's other methods."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import fastpyro
from fastpyro.config import ITEMS, LONGEST_TIME, Configuration, config, on_change


def test_config_is_the_object_in_every_place() -> None:
    import fastpyro.config  # must not replace the object by the module

    assert isinstance(fastpyro.config, Configuration)
    from fastpyro.config import config

    assert fastpyro.config is config


def test_defaults_are_those_of_the_table() -> None:
    plain = Configuration()
    plain.reset(use_environment=False)
    assert plain.as_dict() == {item.name: item.default for item in ITEMS}
    assert plain.asDict() == plain.as_dict()
    assert all(item.meaning for item in ITEMS)
    assert [plain.HOST, plain.NS_PORT, plain.COMMTIMEOUT, plain.SERVERTYPE] == ["localhost", 9090, 0.0, "thread"]


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("COMMTIMEOUT", 2, 2.0),
        ("COMMTIMEOUT", None, 0.0),
        ("ONEWAY_THREADED", 0, False),
        ("BROADCAST_ADDRS", "a, b,''", ["a", "b", ""]),
        ("NATHOST", "example.org", "example.org"),
        ("PREFER_IP_VERSION", 6, 6),
    ],
)
def test_values_are_taken(name: str, given: object, kept: object) -> None:
    changed = Configuration()
    setattr(changed, name, given)
    assert getattr(changed, name) == kept
    assert type(getattr(changed, name)) is type(kept)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("COMMTIMEOUT", -1),
        ("COMMTIMEOUT", float("nan")),
        ("COMMTIMEOUT", "soon"),
        ("NS_PORT", 65536),
        ("NS_PORT", 1.5),
        ("NS_PORT", True),
        ("SERVERTYPE", 1),
        ("ONEWAY_THREADED", "maybe"),
        ("HOST", None),
        ("NS_AUTOCLEAN", 1),
        ("PREFER_IP_VERSION", 5),
        ("BROADCAST_ADDRS", 7),
        ("MAX_MESSAGE_SIZE", 1 << 32),
    ],
)
def test_wrong_values_are_refused_and_change_nothing(name: str, wrong: object) -> None:
    changed = Configuration()
    before = getattr(changed, name)
    with pytest.raises((TypeError, ValueError), match=name):
        setattr(changed, name, wrong)
    assert getattr(changed, name) == before


def test_unknown_items_do_not_exist() -> None:
    with pytest.raises(AttributeError, match="NO_SUCH_ITEM"):
        fastpyro.config.NO_SUCH_ITEM = 1
    with pytest.raises(AttributeError):
        _ = fastpyro.config.NO_SUCH_ITEM


def run_with(**environment: str) -> subprocess.CompletedProcess[str]:
    program = "import fastpyro; c = fastpyro.config; print(c.NS_PORT, c.ONEWAY_THREADED, c.BROADCAST_ADDRS, c.NATHOST)"
    return subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True
    )


def test_environment() -> None:
    done = run_with(PYRO_NS_PORT="1111", PYRO_ONEWAY_THREADED="off", PYRO_BROADCAST_ADDRS="x,y", PYRO_UNKNOWN="1")
    assert done.stdout == "1111 False ['x', 'y'] None\n"
    done = run_with(PYRO_NS_PORT="1111", FASTPYRO_NS_PORT="2222", FASTPYRO_NATHOST="out.example")
    assert done.stdout == "2222 True ['<broadcast>', '0.0.0.0'] out.example\n"


@pytest.mark.parametrize(("name", "value"), [("PYRO_NS_PORT", "many"), ("FASTPYRO_ONEWAY_THREADED", "perhaps")])
def test_environment_that_makes_no_sense_is_named(name: str, value: str) -> None:
    done = run_with(**{name: value})
    assert done.returncode != 0
    assert name in done.stderr
    assert value in done.stderr


def test_reset_and_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRO_NS_PORT", "3333")
    changed = Configuration()
    assert changed.NS_PORT == 3333
    copied = changed.copy()
    copied.NS_PORT = 4444
    copied.BROADCAST_ADDRS.append("more")
    assert changed.NS_PORT == 3333
    assert "more" not in changed.BROADCAST_ADDRS
    changed.reset(False)
    assert changed.NS_PORT == 9090


def test_dump_names_versions_and_items() -> None:
    text = fastpyro.config.dump()
    assert f"version: {fastpyro.__version__}" in text
    for item in ITEMS:
        assert f"\n{item.name} = " in text


def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_SERVERKEYPASSWD", "SSL_CLIENTKEYPASSWD"):
        monkeypatch.setattr(config, name, "GUARDED")
    assert "GUARDED" not in config.dump() + repr(config)
    assert "SSL_SERVERKEYPASSWD = '<hidden>'" in config.dump()
    assert config.as_dict()["SSL_SERVERKEYPASSWD"] == config.copy().SSL_SERVERKEYPASSWD == "GUARDED"
    with pytest.raises(TypeError) as caught:
        config.SSL_SERVERKEYPASSWD = b"GUARDED"
    assert "GUARDED" not in str(caught.value)


@pytest.mark.parametrize("seconds", [9.3e9, 1e300, 10**12, "1e20"])
def test_long_times_are_cut_where_no_clock_overflows(seconds: object) -> None:
    configuration = Configuration()
    configuration.COMMTIMEOUT = seconds
    assert configuration.COMMTIMEOUT == LONGEST_TIME


@pytest.mark.parametrize("seconds", [float("inf"), float("-inf"), float("nan"), 10**400, "1e999", -1e-9])
def test_times_that_are_none_are_refused(seconds: object) -> None:
    with pytest.raises(ValueError, match="COMMTIMEOUT"):
        Configuration().COMMTIMEOUT = seconds


def test_changes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    changed = Configuration()
    monkeypatch.setattr(sys.modules["fastpyro.config"], "_listeners", {})
    on_change("SERIALIZER", lambda: told.append(changed.SERIALIZER))
    changed.SERIALIZER = "json"
    changed.COMMTIMEOUT = 3
    with pytest.raises((TypeError, ValueError)):
        changed.SERIALIZER = 3
    changed.reset(use_environment=False)
    assert told == ["json", "native"]


@pytest.mark.parametrize("name", ["COMMTIMEOUT", "NS_PORT", "PROTOCOL", "NS_AUTOCLEAN"])
def test_texts_that_are_no_numbers_are_told_so(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^configuration item {name}: expected [^']*, not 'x'$"):
        setattr(Configuration(), name, "x")
