"""How registered classes become instances."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from fastpyro.errors import DaemonError
from fastpyro.server.exposure import behavior
from fastpyro.server.instances import InstanceTable


def connection() -> Any:
    return SimpleNamespace(homes=None, instances={})


class Plain:
    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def __len__(self) -> int:  # falsy, which must not matter
        return 0


def test_session_is_the_default() -> None:
    table, first, second = InstanceTable(), connection(), connection()
    instance = table.get(Plain, first)
    assert table.get(Plain, first) is instance
    assert table.get(Plain, second) is not instance


def test_single_is_one_for_all_connections() -> None:
    @behavior(instance_mode="single")
    class Single(Plain):
        made = 0

    table = InstanceTable()
    assert table.get(Single, connection()) is table.get(Single, connection())
    assert Single.made == 1
    assert InstanceTable().get(Single, connection()) is not table.get(Single, connection())


def test_single_is_made_once_by_many_threads() -> None:
    begun = threading.Barrier(8)

    @behavior("single")
    class Slow:
        made = 0

        def __init__(self) -> None:
            type(self).made += 1

    table = InstanceTable()
    found: list[Any] = []

    def work() -> None:
        begun.wait(10)
        found.append(table.get(Slow, connection()))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Slow.made == 1
    assert len(set(map(id, found))) == 1


def test_percall_is_new_each_time() -> None:
    @behavior("percall")
    class Percall(Plain):
        pass

    table, client = InstanceTable(), connection()
    assert table.get(Percall, client) is not table.get(Percall, client)


def test_creator_gets_the_class() -> None:
    seen: list[type] = []

    def create(cls: type) -> Any:
        seen.append(cls)
        return cls()

    @behavior("session", create)
    class Created(Plain):
        pass

    client = connection()
    table = InstanceTable()
    assert type(table.get(Created, client)) is Created
    table.get(Created, client)
    assert seen == [Created]


def test_creator_must_return_an_instance() -> None:
    @behavior(instance_creator=lambda cls: "something else")
    class Created:
        pass

    with pytest.raises(TypeError, match="different type"):
        InstanceTable().get(Created, connection())


def test_failing_constructor_is_tried_again() -> None:
    class Failing:
        attempts = 0

        def __init__(self) -> None:
            type(self).attempts += 1
            if self.attempts == 1:
                raise ValueError("not yet")

    table, client = InstanceTable(), connection()
    with pytest.raises(ValueError, match="not yet"):
        table.get(Failing, client)
    assert type(table.get(Failing, client)) is Failing


def test_mode_set_by_hand_is_checked() -> None:
    class Odd:
        _pyroInstancing = ("sometimes", None)

    with pytest.raises(DaemonError, match="sometimes"):
        InstanceTable().get(Odd, connection())
