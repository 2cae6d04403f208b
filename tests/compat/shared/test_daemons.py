"""Daemons with the manners of Pyro's."""

from __future__ import annotations

import pytest
from compat.programs import output_of

from fastpyro.compat.shared.daemons import PeerDaemon
from fastpyro.errors import DaemonError
from fastpyro.uri import URI


class Daemon(PeerDaemon):
    _uri_class = URI


class Thing:
    pass


class Slotted:
    __slots__ = ()


def test_what_was_unregistered_by_its_id_may_be_unregistered_again() -> None:
    thing = Thing()
    with Daemon() as daemon:
        with pytest.raises(DaemonError, match="object isn't registered"):
            daemon.unregister(thing)
        daemon.register(thing, "one")
        daemon.unregister("one")
        daemon.unregister(thing)
        daemon.register(thing, "two")
        daemon.unregister(thing)
        assert "two" not in daemon.objectsById
        daemon.unregister("unknown")
        with pytest.raises(ValueError, match="expected"):
            daemon.unregister(None)
        assert not daemon._shutting_down
    assert daemon._shutting_down


def test_what_was_unregistered_by_its_id_keeps_it_as_in_pyro() -> None:
    thing = Thing()
    with Daemon() as daemon:
        daemon.register(thing, "one")
        daemon.unregister("one")
        assert (thing._pyroId, thing._pyroDaemon) == ("one", daemon)  # type: ignore[attr-defined]
        with pytest.raises(DaemonError):
            daemon.uriFor(thing)  # which is not believed
        daemon.unregister(thing)
        daemon.register(thing, "two")
        daemon.unregister(thing)
        assert vars(thing) == {}
        daemon.register(Slotted(), "three")
        daemon.unregister("three")


def test_the_texts_of_a_second_registration() -> None:
    thing = Thing()
    with Daemon() as daemon:
        daemon.register(thing, "one")
        with pytest.raises(DaemonError, match="object or class already") as caught:
            daemon.register(thing)
        assert str(caught.value) == "object or class already has a Pyro id"
        assert caught.value.__notes__ == ["the id is one"]
        with pytest.raises(DaemonError, match="already registered") as caught:
            daemon.register(Thing(), "one")
        assert str(caught.value) == "an object or class is already registered with that id"


COPIES = """
import copy, pickle, {module} as Pyro

class Thing:
    pass

daemon = Pyro.Daemon()
thing, other = Thing(), Thing()
uri = daemon.register(thing)
copies = copy.copy(thing), copy.deepcopy([thing])[0], pickle.loads(pickle.dumps(thing))
more = copy.copy(other), pickle.loads(pickle.dumps(daemon))
print(*(type(one).__name__ for one in copies + more))
if isinstance(copies[0], Pyro.Proxy):
    print({{one._pyroUri for one in copies}} == {{uri}})
    Pyro.config.AUTOPROXY = False
    print(type(copy.deepcopy(thing)).__name__)
"""


def test_copies_of_registered_objects(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("programs")
    of_pyro4 = output_of("Pyro4", folder, COPIES.format(module="Pyro4"))
    assert of_pyro4 == "Proxy Proxy Proxy Thing Daemon\nTrue\nThing\n"
    assert output_of("Pyro5", folder, COPIES.format(module="Pyro5.api")) == "Thing Thing Thing Thing Daemon\n"
