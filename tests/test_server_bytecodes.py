"""What a daemon keeps for all, when something happens between two bytecodes: an interrupt, or a destructor that uses it too.

Whatever is interrupted, it can be used afterwards, by any thread: none of its locks is left locked.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from every_bytecode import Destructor, each_number, happening, in_time, interrupted

import fastpyro
from fastpyro._mutex import Mutex
from fastpyro.errors import PyroError
from fastpyro.naming.name_server import NameServer
from fastpyro.naming.storage import SqlStorage
from fastpyro.server.coroutines import Coroutines
from fastpyro.server.instances import InstanceTable
from fastpyro.server.item_streams import StreamTable
from fastpyro.server.shares import Shares
from fastpyro.values import class_registry

# What was made just before the interrupt is closed by its own destructor, which warns.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Client:
    """Stands for a connection."""

    serial_calls = False
    origin = "192.0.2.1"

    def __init__(self) -> None:
        self.instances: dict[type, Any] = {}


@fastpyro.expose
@fastpyro.behavior(instance_mode="single")
class Single:
    """There is one of it."""


@fastpyro.expose
class Subject:
    """Is registered."""

    def null(self) -> None:
        pass


class Case(NamedTuple):
    """What is used, and how; the locks of it that must be free afterwards are found in its attributes."""

    subject: Any
    use: Callable[[], object]
    end: Callable[[], object] = lambda: None
    locks: tuple[Mutex, ...] = ()


def streams() -> Case:
    table, client = StreamTable(), Client()

    def use() -> None:
        name = table.open(iter(range(5)), client)
        assert table.next_item(name, client) == 0
        table.connection_lost(client)
        assert table.next_item(name, client) == 1
        table.expire()
        table.close(name)

    return Case(table, use)


def instances() -> Case:
    table = InstanceTable()
    client: Any = Client()
    return Case(table, lambda: table.get(Single, client))


def registration() -> Case:
    daemon, subject = fastpyro.Daemon(host="127.0.0.1"), Subject()

    def use() -> None:
        daemon.register(subject, "subject", force=True)
        daemon.unregister("subject")

    return Case(daemon, use, daemon.close)


def classes() -> Case:
    def use() -> None:
        fastpyro.register_class_to_dict(Client, lambda client: {"instances": 0})
        class_registry.to_state(Client())
        fastpyro.unregister_class_to_dict(Client)

    return Case(None, use, locks=(class_registry._lock,))


def using_names(names: NameServer) -> Callable[[], None]:
    def use() -> None:
        names.register("a.name", "PYRO:x@localhost:1", metadata={"tag"})
        with contextlib.suppress(fastpyro.errors.NamingError):  # a destructor has removed it
            names.set_metadata("a.name", {"other"})
            names.lookup("a.name")
        names.list(prefix="a")
        names.remove("a.name")

    return use


def names_in_memory() -> Case:
    names = NameServer("memory")
    return Case(names, using_names(names), names._close)


def coroutines() -> Case:
    running = Coroutines()

    async def seven() -> int:
        return 7

    def use() -> None:
        assert running.value_of(seven()) == 7

    return Case(running, use, running.close)


def shares() -> Case:
    table = Shares(1000)
    client: Any = Client()

    def use() -> None:
        if table.take(client):
            table.give(client)

    return Case(table, use)


def connections() -> Case:
    daemon = fastpyro.Daemon(host="127.0.0.1")
    server = daemon.transportServer

    def use() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            connection = server.admit(ours, "somebody")
            server.hold(connection)
            server.give_back(connection)
            server.unsent.forget(connection)
            server.drop(connection)

    return Case(server, use, daemon.close, (server.unsent._lock, server.late_replies._lock))


CASES = {
    make.__name__: (make, step)
    for make, step in (
        (streams, 3),
        (instances, 1),
        (registration, 5),
        (classes, 1),
        (names_in_memory, 11),
        (coroutines, 5),
        (shares, 3),
        (connections, 5),
    )
}


def check(case: Case) -> None:
    """Assert that it can be used, by another thread, and that none of its locks is locked."""
    with contextlib.suppress(PyroError, ValueError):
        case.use()  # what was done by half is in the way, once
    outcome = in_time(case.use)
    assert not isinstance(outcome, BaseException), outcome
    own = [value for value in vars(case.subject).values() if isinstance(value, Mutex)] if case.subject else []
    locks = [*own, *case.locks]
    assert locks
    assert not any(lock.locked for lock in locks)


@pytest.mark.parametrize("name", CASES)
def test_an_interrupt_anywhere(name: str) -> None:
    make, step = CASES[name]

    def path(number: int) -> happening:
        case = make()
        interruption = interrupted(number, case.use)
        check(case)
        in_time(case.end)
        return interruption

    each_number(path, step)


@pytest.mark.parametrize("name", CASES)
def test_a_destructor_anywhere(name: str) -> None:
    make, step = CASES[name]

    def path(number: int) -> happening:
        case = make()
        outcome: list[Any] = []

        def work() -> happening:
            with happening(number, lambda: Destructor(case.use, outcome)) as collection:
                case.use()
            return collection

        collection = in_time(work)
        assert isinstance(collection, happening), collection
        for one in outcome:
            assert not isinstance(one, BaseException) or isinstance(one, PyroError), one
        check(case)
        in_time(case.end)
        return collection

    each_number(path, step)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SqlStorage]:
    storage = SqlStorage(str(tmp_path / "names.sqlite"))
    (writer,) = storage._writers
    writer.database.execute("PRAGMA synchronous=OFF")  # this is no test of the disk
    yield storage
    storage.close()


@pytest.mark.parametrize("event", ["interrupt", "destructor"])
def test_names_in_a_file(file: SqlStorage, event: str) -> None:
    use = using_names(NameServer(file))
    outcome: list[Any] = []

    def work(number: int) -> happening:
        with happening(number, lambda: Destructor(use, outcome)) as collection, contextlib.suppress(PyroError):
            use()
        return collection

    def path(number: int) -> happening:
        happened: happening = interrupted(number, use) if event == "interrupt" else in_time(lambda: work(number))
        assert in_time(use) is None
        assert not any(seat.turn.locked for seat in (*file._writers, *file._readers, *file._listers))
        assert not any(isinstance(one, BaseException) and not isinstance(one, PyroError) for one in outcome), outcome
        return happened

    each_number(path, 17)
    assert event == "interrupt" or outcome
