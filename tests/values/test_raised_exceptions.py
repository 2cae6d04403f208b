"""Exceptions that methods raise, written by converters of the user's: as those that they return."""

from __future__ import annotations

import concurrent.futures
import json
import queue
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from socket_pairs import Peer

import fastpyro
from fastpyro.errors import PyroError, RemoteError
from fastpyro.serializers.registry import get_serializer, native
from fastpyro.values import class_registry
from fastpyro.values.exceptions import exception_reply
from fastpyro.values.registration import StateOf, register_class_to_dict, register_dict_to_class


@pytest.fixture(autouse=True)
def _restored_registry() -> Iterator[None]:
    """Forget what a test registers."""
    tables: list[Any] = [
        class_registry._to_dict,
        class_registry._from_dict,
    ]
    before = [dict(table) for table in tables]
    yield
    for table, content in zip(tables, before, strict=True):
        table.clear()
        table.update(content)
    class_registry._writers.clear()


class Telling(Exception):
    """Says more than its args."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what)
        self.why = why

    def __str__(self) -> str:
        return f"{self.args[0]}, because {self.why}"


@pytest.mark.parametrize("serializer", ["native", "serpent", "json", "msgpack"])
def test_the_text_of_an_unknown_exception_travels(serializer: str) -> None:
    error = replied(serializer, Telling("it failed", "of the weather"))
    assert type(error) is RemoteError
    assert str(error).endswith("Telling: it failed, because of the weather")
    assert (error.args, error.why) == (("it failed",), "of the weather")
    again = replied(serializer, error)  # by a server that got it from another
    assert (type(again), str(again)) == (RemoteError, str(error))


@pytest.mark.parametrize("serializer", ["native", "serpent", "json", "msgpack"])
@pytest.mark.parametrize(
    "error",
    [
        queue.Full(),
        subprocess.CalledProcessError(3, ["make"], "output", "errors"),
        zlib.error("no such thing"),
        json.JSONDecodeError("bad", "text", 2),
        concurrent.futures.BrokenExecutor("gone"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_of_the_standard_library_are_themselves(serializer: str, error: Exception) -> None:
    again = replied(serializer, error)
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert {**vars(again), "_pyroTraceback": 0, "__notes__": 0} == {**vars(error), "_pyroTraceback": 0, "__notes__": 0}


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "subprocess.Popen",
        "urllib.error.HTTPError",
        "asyncio.exceptions.CancelledError",
        "nowhere.Error",
        "queue",
    ],
)
def test_nothing_else_of_the_standard_library_is_made(name: str) -> None:
    state = StateOf("exception", (name, ("text",), {}, [], [], {}))
    error = native.loads(native.dumps(state))
    assert type(error) is RemoteError
    assert error.class_name == name


def test_a_path_is_kept_as_text() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Path("/nowhere/to/be/found").stat()
    caught.value.filename = Path("/nowhere/to/be/found")
    error = replied("native", caught.value)
    assert error.filename == "/nowhere/to/be/found"


def replied(serializer: str, error: Exception) -> Any:
    found = get_serializer(serializer)
    return found.loads(exception_reply(found, error, ["a line"]))


class Refused(Exception):
    """With a constructor of its own, which a user's converters know."""

    def __init__(self, code: int) -> None:
        super().__init__(f"refused with code {code}")
        self.code = code


class Raising:
    @fastpyro.expose
    def call(self) -> None:
        raise Refused(1)

    @fastpyro.expose
    def give(self) -> Refused:
        return Refused(2)

    @fastpyro.expose  # type: ignore[prop-decorator]
    @property
    def attribute(self) -> None:
        raise Refused(3)

    @fastpyro.expose
    def items(self) -> Iterator[int]:
        yield 1
        raise Refused(4)


def in_a_batch(proxy: Any) -> None:
    batch = fastpyro.batch(proxy)
    batch.call()
    list(batch())


@pytest.mark.parametrize("serializer", ["native", "serpent", "json", "msgpack"])
def test_what_is_raised_travels_as_what_is_returned(serializer: str) -> None:
    """By the user's converters, which see nothing of the remote traceback that travels along."""
    seen: list[Any] = []

    def read(_: str, data: dict[str, Any]) -> Refused:
        seen.append(data)
        return Refused(data["code"])

    register_class_to_dict(Refused, lambda error: {"__class__": "app.Refused", "code": error.code})
    register_dict_to_class("app.Refused", read)
    with fastpyro.Daemon(host="127.0.0.1") as daemon, Peer(daemon.requestLoop):
        try:
            with fastpyro.Proxy(daemon.register(Raising())) as proxy:
                proxy._pyroSerializer = serializer
                ways: dict[int, Callable[[], object]] = {
                    1: proxy.call,
                    3: lambda: proxy.attribute,
                    4: lambda: list(proxy.items()),
                }
                for code, way in ways.items():
                    with pytest.raises(Refused) as caught:
                        way()
                    assert caught.value.code == code
                    assert "Refused" in "".join(caught.value._pyroTraceback)  # type: ignore[attr-defined]
                with pytest.raises(Refused) as caught:
                    in_a_batch(proxy)
                assert "in call" in "".join(caught.value._pyroTraceback)  # type: ignore[attr-defined]
                assert proxy.give().code == 2
        finally:
            daemon.shutdown()
    assert seen == [{"__class__": "app.Refused", "code": code} for code in (1, 3, 4, 1, 2)]


def test_a_converter_that_makes_no_class_dict_costs_the_class_and_not_the_error() -> None:
    register_class_to_dict(Refused, lambda error: error.code)
    error = native.loads(exception_reply(native, Refused(5), ["a line"]))
    assert type(error) is PyroError
    assert "refused with code 5" in str(error)
    assert error._pyroTraceback == ["a line"]
