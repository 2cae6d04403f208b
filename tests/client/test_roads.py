"""One call, many roads: however it is made, its result or its error is the same.

The reference is a call that waits, in the same format. A road takes a connected proxy and the call, and gives its result.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from server_process import SubjectServer

import fastpyro
from fastpyro.client import session
from fastpyro.client.method import RemoteMethod
from fastpyro.client.session import Request
from fastpyro.config import config
from fastpyro.constants import FLAGS_ONEWAY
from fastpyro.errors import SerializeError

DEADLINE = 20.0


class Call(NamedTuple):
    """A call of `Calculator`; whether a batch may hold it, which has no streams; whether its method is exposed."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = MappingProxyType({})
    batched: bool = True
    exposed: bool = True


CALLS = {
    "no keywords": Call("add", (2, 3)),
    "a default": Call("add", (2,)),
    "keywords only": Call("add", (), {"left": 1, "right": 2}),
    "both": Call("add", (1,), {"right": 2}),
    "nested values": Call("echo", ([1, "two", {"three": None}], 4.5), {"key": [True]}),
    "more than a small reply": Call("echo", ("x" * 20_000,)),
    "buffers that travel apart": Call("size", (b"x" * 3_000_000,)),
    "nothing": Call("all_notes"),
    "oneway": Call("note", ("noted",)),
    "an error": Call("divide", (1, 0)),
    "an error of a class that is not known here": Call("stock", ("tea", 3)),
    "an error of communication": Call("communication_failure"),
    "an exit": Call("exit"),
    "too many arguments": Call("add", (1, 2, 3)),
    "an unknown keyword": Call("add", (1,), {"nothing": 2}),
    "an unknown method": Call("nobody", exposed=False),
    "a private method": Call("_private", exposed=False),
    "a result that cannot travel": Call("unserializable"),
    "an argument that cannot travel": Call("echo", (object(),)),
    "a stream": Call("numbers", (3,), batched=False),
    "a stream that fails": Call("failing_numbers", batched=False),
}


class OwnInvoke(fastpyro.Proxy):
    """A proxy whose class has replaced ``_pyroInvoke``, as programs do."""

    def _pyroInvoke(
        self, methodname: str, vargs: Any, kwargs: dict[str, Any] | None, flags: int = 0, objectId: str | None = None
    ) -> Any:
        return super()._pyroInvoke(methodname, vargs, kwargs, flags, objectId)


def method(proxy: Any, name: str) -> Any:
    """Return a method, also one whose name the proxy would not find among those that the daemon has told it."""
    return RemoteMethod(proxy, name)


def waiting(proxy: Any, call: Call) -> Any:
    return method(proxy, call.name)(*call.args, **call.kwargs)


def without_the_fast_path(proxy: Any, call: Call) -> Any:
    return session.invoke(proxy, Request(call.name, call.args, dict(call.kwargs)))


def own_invoke(proxy: Any, call: Call) -> Any:
    with OwnInvoke(proxy._pyroUri) as other:
        other._pyroSerializer = proxy._pyroSerializer
        other._pyroBind()
        return waiting_for_all(other, call)


def retried(proxy: Any, call: Call) -> Any:
    proxy._pyroMaxRetries = 1
    return waiting(proxy, call)


def with_annotations(proxy: Any, call: Call) -> Any:
    fastpyro.current_context.annotations = {"NOTE": b"beside"}
    try:
        return waiting_for_all(proxy, call)
    finally:
        fastpyro.current_context.annotations = {}


def compressed(proxy: Any, call: Call) -> Any:
    config.COMPRESSION = True
    try:
        return without_the_fast_path(proxy, call)
    finally:
        config.COMPRESSION = False


def submitted(proxy: Any, call: Call) -> Any:
    result = getattr(fastpyro.asyncproxy(proxy), call.name)(*call.args, **call.kwargs)
    assert result.wait(DEADLINE)
    return result.value


def submitted_with_a_time_limit(proxy: Any, call: Call) -> Any:
    proxy._pyroTimeout = DEADLINE
    return submitted(proxy, call)


def on_a_copy(proxy: Any, call: Call) -> Any:
    proxy._pyroMaxRetries = 1
    return submitted(proxy, call)


def awaited(proxy: Any, call: Call) -> Any:
    async def wait() -> Any:
        return await getattr(fastpyro.asyncproxy(proxy), call.name)(*call.args, **call.kwargs)

    return asyncio.run(asyncio.wait_for(wait(), DEADLINE))


def batched(proxy: Any, call: Call) -> Any:
    batch = proxy._pyroBatch()
    getattr(batch, call.name)(*call.args, **call.kwargs)
    return next(batch())


def batched_and_submitted(proxy: Any, call: Call) -> Any:
    batch = proxy._pyroBatch()
    getattr(batch, call.name)(*call.args, **call.kwargs)
    return next(batch(asynchronous=True).value)


def portable(proxy: Any, call: Call) -> Any:
    before, config.PORTABLE = config.PORTABLE, True
    try:
        proxy._pyroReconnect(tries=1)
    finally:
        config.PORTABLE = before
    return waiting_for_all(proxy, call)


def waiting_for_all(proxy: Any, call: Call) -> Any:
    """As `waiting`; the items of a stream, too, come over the same road."""
    value = waiting(proxy, call)
    return list(value) if isinstance(value, Iterator) else value


ROADS: list[Callable[[Any, Call], Any]] = [
    without_the_fast_path, own_invoke, retried, with_annotations, compressed, submitted, submitted_with_a_time_limit,
    on_a_copy, awaited, batched, batched_and_submitted, portable,
]  # fmt: skip


WITHOUT_STREAMS = batched, batched_and_submitted
LOOKS_NAMES_UP = submitted, submitted_with_a_time_limit, on_a_copy, awaited
"""Roads on which a name that is not exposed is refused before anything is sent."""


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer() as running:
        yield running


def outcome(server: SubjectServer, serializer: str, road: Callable[[Any, Call], Any], call: Call) -> tuple[str, ...]:
    """Return what comes of a call over a road: its value, or its error, without addresses of objects."""
    with fastpyro.Proxy(server.uri()) as proxy:
        proxy._pyroSerializer = serializer
        proxy._pyroBind()
        try:
            value = road(proxy, call)
            value = list(value) if isinstance(value, Iterator) else value
        except SerializeError as error:  # a batch is written in our own form first, and says so in its own words
            return type(error).__name__, ""
        except Exception as error:
            return type(error).__name__, re.sub("0x[0-9a-f]+", "0x…", str(error))
        return type(value).__name__, repr(value)


@pytest.mark.parametrize("serializer", ["native", "serpent", "msgpack"])
@pytest.mark.parametrize("title", CALLS)
def test_every_road_leads_to_the_same_end(server: SubjectServer, serializer: str, title: str) -> None:
    call = CALLS[title]
    expected = outcome(server, serializer, waiting, call)
    roads = [road for road in ROADS if call.batched or road not in WITHOUT_STREAMS]
    roads = [road for road in roads if call.exposed or road not in LOOKS_NAMES_UP]
    found = {road.__name__: outcome(server, serializer, road, call) for road in roads}
    assert found == {road.__name__: expected for road in roads}


def test_what_is_oneway_is_so_on_every_road(server: SubjectServer) -> None:
    """A call that is oneway by its flags, where the method is not, waits for nothing either."""
    with fastpyro.Proxy(server.uri()) as proxy:
        assert session.invoke(proxy, Request("add", (1, 2), {}, FLAGS_ONEWAY)) is None
        assert proxy._pyroInvoke("add", (1, 2), {}, flags=FLAGS_ONEWAY) is None
        proxy._pyroOneway.add("divide")
        assert proxy.divide(1, 0) is None
        assert fastpyro.asyncproxy(proxy).divide(1, 0).value is None
        assert proxy.add(1, 2) == 3


@pytest.mark.parametrize("road", [waiting, without_the_fast_path, submitted])
def test_a_call_ends_in_the_session_in_which_it_began(server: SubjectServer, road: Callable[[Any, Call], Any]) -> None:
    """Its argument connects the proxy anew, in another format, while it is encoded."""
    if config.PORTABLE and road is submitted:
        pytest.skip(
            "over the portable channel asynchronous calls are made by copies of the proxy, which have sessions of their own"
        )

    class Meddling:
        def __getstate__(self) -> dict[str, int]:
            if proxy._pyro_session is before:
                proxy._pyroSerializer = "serpent"
                proxy._pyroReconnect(tries=1)
            return {"x": 1}

    fastpyro.register_class(Meddling)
    with fastpyro.Proxy(server.uri()) as proxy:
        proxy._pyroBind()
        before = proxy._pyro_session
        with pytest.raises(fastpyro.errors.ConnectionClosedError):
            road(proxy, Call("echo", (Meddling(),)))
        assert proxy._pyro_session.serializer.name == "serpent"
        assert proxy.add(1, 2) == 3
