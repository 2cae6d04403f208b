"""What is served, without anybody who serves it: registration, addresses, metadata."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import fastpyro
from fastpyro.errors import DaemonError
from fastpyro.server.service import Service, service_of


@fastpyro.expose
class Subject:
    def name(self) -> str:
        return "subject"


@pytest.fixture
def service() -> Service:
    made = Service()
    made.locationStr = "example.org:4444"
    return made


def test_a_service_needs_no_socket(service: Service) -> None:
    subject = Subject()
    uri = service.register(subject, "known")
    assert str(uri) == "PYRO:known@example.org:4444"
    assert service.find_object("known", None) is service.registered_as("known") is subject  # type: ignore[arg-type]
    assert service_of(subject) is service
    assert service_of(Subject()) is None
    assert not service.forked
    assert service.validateHandshake(None, "any") == "hello"  # type: ignore[arg-type]
    service.unregister("known")
    assert service.objectsById == {}
    assert service_of(subject) is None


def test_addresses_are_those_that_were_set(service: Service) -> None:
    service.natLocationStr = "outside:1"
    assert str(service.uriFor("x")) == "PYRO:x@outside:1"
    assert str(service.uriFor("x", nat=False)) == "PYRO:x@example.org:4444"


def test_a_class_is_made_when_it_is_needed(service: Service) -> None:
    service.register(fastpyro.behavior("single")(Subject), "class")
    assert service.registered_as("class") is Subject
    made: Any = service.find_object("class", None)  # type: ignore[arg-type]
    assert isinstance(made, Subject)
    assert service.find_object("class", None) is made  # type: ignore[arg-type]
    service.unregister(Subject)


def test_a_service_that_nobody_has_is_freed() -> None:
    service = Service()
    service.register(Subject(), "known")
    gone = weakref.ref(service)
    del service
    gc.collect()
    assert gone() is None


def test_whoever_serves_hears_that_classes_changed() -> None:
    told: list[str] = []

    class Served(Service):
        def _classes_changed(self) -> None:
            told.append("changed")

    service = Served()
    service.register(Subject(), "known")
    service.resetMetadataCache("known")
    service.resetMetadataCache("unknown")
    assert told == ["changed"]


def test_an_empty_id_is_none(service: Service) -> None:
    subject = Subject()
    assert service.register(subject, "").object.startswith("obj_")
    service.unregister(subject)


def test_register_refuses(service: Service) -> None:
    subject = Subject()
    service.register(subject, "taken")
    with pytest.raises(DaemonError, match="already registered with that id"):
        service.register(Subject(), "taken")
    with pytest.raises(DaemonError, match="already has a Pyro id"):
        service.register(subject, "another")
    with pytest.raises(TypeError, match="objectId"):
        service.register(Subject(), 42)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="weakly"):
        service.register(Subject, weak=True)
    with pytest.raises(AttributeError):
        service.register(3)
    service.register(subject, "another", force=True)
    assert service.uriFor(subject).object == "another"


def test_weak_registration_ends_with_the_object(service: Service) -> None:
    subject = Subject()
    service.register(subject, "weak", weak=True)
    assert service.find_object("weak", None) is subject  # type: ignore[arg-type]
    del subject
    gc.collect()
    assert "weak" not in service.objectsById
    with pytest.raises(DaemonError, match="unknown object"):
        service.find_object("weak", None)  # type: ignore[arg-type]


def test_proxy_for(service: Service) -> None:
    service.register(Subject(), "known")
    proxy = service.proxyFor("known")
    assert isinstance(proxy, fastpyro.Proxy)
    assert proxy._pyroMethods == {"name"}
    assert proxy._pyroConnection is None
    with pytest.raises(DaemonError, match="unknown object"):
        service.proxyFor("unknown")


def test_metadata_can_be_made_anew(service: Service) -> None:
    class Growing:
        @fastpyro.expose
        def first(self) -> int:
            return 1

    service.register(Growing(), "growing")
    assert service.metadata("growing")["methods"] == {"first"}

    def second(self: object) -> int:
        return 2

    Growing.second = fastpyro.expose(second)  # type: ignore[attr-defined]
    service.resetMetadataCache("growing")
    assert service.metadata("growing")["methods"] == {"first", "second"}
