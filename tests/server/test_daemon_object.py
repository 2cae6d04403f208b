"""What clients can ask of a daemon itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import fastpyro
from fastpyro.constants import DAEMON_NAME
from fastpyro.errors import DaemonError, PyroError
from fastpyro.server import exposure, service
from fastpyro.server.daemon_object import DaemonObject


@fastpyro.expose
class Subject:
    def method(self, size: int = 3) -> None:
        """Explain."""

    @fastpyro.oneway
    def told(self) -> None: ...


class OwnObject(DaemonObject):
    @fastpyro.expose
    def more(self) -> str:
        return "more"


@pytest.fixture
def own() -> Iterator[Any]:
    with fastpyro.Daemon(host="127.0.0.1", interface=OwnObject) as daemon:
        daemon.register(Subject(), "subject")
        daemon.register(Subject())  # its id is for those who were given it
        loop = threading.Thread(target=daemon.requestLoop)
        loop.start()
        with fastpyro.Proxy(f"PYRO:{DAEMON_NAME}@{daemon.locationStr}") as proxy:
            yield proxy
        daemon.shutdown()
        loop.join(10)


def test_its_members() -> None:
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        assert daemon.metadata(DAEMON_NAME) == {
            "methods": {
                "registered",
                "ping",
                "info",
                "get_metadata",
                "get_next_stream_item",
                "pull_stream_items",
                "close_stream",
            },
            "oneway": {"close_stream"},
            "attrs": set(),
        }


def test_answers(own: Any) -> None:
    assert own.ping() is None
    assert set(own.registered()) == {"subject", DAEMON_NAME}
    assert "3 objects" in own.info()
    assert own.info().startswith(f"Pyro.Daemon bound on {own._pyroUri.location}, NAT None, ")
    assert own.more() == "more"


def test_metadata_and_details(own: Any) -> None:
    assert own.get_metadata("subject") == {"methods": {"method", "told"}, "oneway": {"told"}, "attrs": set()}
    details = own.get_metadata("subject", details=True)["details"]
    assert details["members"]["method"] == {"signature": "(size: 'int' = 3) -> 'None'", "doc": "Explain."}
    with pytest.raises(DaemonError, match="unknown object"):
        own.get_metadata("nobody")


def test_details_are_made_once_for_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making them takes as long as hundreds of calls. An instance with a method of its own has its own."""

    @fastpyro.expose
    class Machine:
        def work(self, hours: int) -> None:
            """Work."""

    made: list[Any] = []

    def details_of(found: Any, require_expose: bool) -> dict[str, Any]:
        made.append(found)
        return exposure.details_of(found, require_expose)

    monkeypatch.setattr(service, "details_of", details_of)
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        machines: list[Any] = [Machine(), Machine(), Machine(), Machine]
        machines[2].work = lambda days: None
        for number, machine in enumerate(machines):
            daemon.register(machine, str(number))
        for _ in range(2):
            shown = [daemon.metadata(str(number), True)["details"]["members"]["work"] for number in range(4)]
            assert [one["signature"] for one in shown] == ["(hours: 'int') -> 'None'"] * 2 + [
                "(days)",
                "(hours: 'int') -> 'None'",
            ]
        assert made == [machines[0], machines[2], Machine, machines[2]]
        daemon.resetMetadataCache(machines[0])
        daemon.metadata("1", True)
        assert made[4:] == [machines[1]]


def test_streams_that_do_not_exist(own: Any) -> None:
    with pytest.raises(PyroError, match="item stream terminated"):
        own.get_next_stream_item("no such stream")
    assert own.close_stream("no such stream") is None
    assert own.ping() is None


def test_its_metadata_is_what_clients_are_told_when_they_connect() -> None:
    class Renaming(DaemonObject):
        def get_metadata(self, objectId: str, as_lists: bool = False, details: bool = False) -> dict[str, Any]:
            return {"methods": {f"{objectId}_of_its_own"}, "oneway": set(), "attrs": set()}

    with fastpyro.Daemon(interface=Renaming) as daemon:
        uri = daemon.register(Subject(), "subject")
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        for serializer in ("native", "serpent"):
            with fastpyro.Proxy(uri) as proxy:
                proxy._pyroSerializer = serializer
                proxy._pyroBind()
                assert proxy._pyroMethods == {"subject_of_its_own"}
        daemon.shutdown()
        thread.join()
