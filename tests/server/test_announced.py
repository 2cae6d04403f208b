"""The names that are removed when a daemon ends, with a name server that records, refuses, or is away."""

from __future__ import annotations

from typing import Any

import pytest

from fastpyro.errors import CommunicationError, NamingError
from fastpyro.server.announced import WITHDRAW_SECONDS, Announced
from fastpyro.uri import URI

OWN, OTHER = URI("PYRO:own@localhost:1"), URI("PYRO:other@localhost:1")


class Names:
    """Stands for a proxy of a name server. Raises what it has for a name that is an exception."""

    _pyroTimeout: float | None = None

    def __init__(self, **names: Any) -> None:
        self.names = names
        self.asked: list[str] = []
        self.removed: list[str] = []

    def __copy__(self) -> Names:
        return self

    def __enter__(self) -> Names:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._pyroTimeout == WITHDRAW_SECONDS

    def lookup(self, name: str) -> Any:
        self.asked.append(name)
        if isinstance(self.names[name], Exception):
            raise self.names[name]
        return self.names[name]

    def remove(self, name: str) -> None:
        self.removed.append(name)


def announced_in(*servers: Names) -> Announced:
    announced = Announced()
    for server in servers:
        for name in server.names:
            announced.add(server, name, OWN)
    return announced


def test_names_are_removed_once() -> None:
    names = Names(one=OWN, two=OWN)
    announced = announced_in(names)
    announced.withdraw()
    announced.withdraw()
    announced.withdraw_soon()
    assert sorted(names.removed) == ["one", "two"]


def test_name_that_means_something_else_stays() -> None:
    names = Names(one=OTHER)
    announced_in(names).withdraw()
    assert not names.removed


def test_name_that_has_gone_is_no_trouble_for_the_others() -> None:
    names = Names(one=OWN, two=NamingError("unknown name"))
    announced_in(names).withdraw()
    assert names.removed == ["one"]


def test_name_server_that_is_away_is_asked_once(caplog: pytest.LogCaptureFixture) -> None:
    away, here = Names(one=CommunicationError("away"), two=CommunicationError("away")), Names(three=OWN)
    announced_in(here, away).withdraw()
    assert len(away.asked) == 1
    assert here.removed == ["three"]
    assert "stays in the name server" in caplog.text
