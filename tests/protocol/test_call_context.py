"""The call context: what is there inside a call, and that nothing of it stays."""

from __future__ import annotations

import threading
import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from fastpyro.callcontext import CallContext, current_context
from fastpyro.errors import PyroError
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Message, pack_message
from fastpyro.server.connection import Connection

IDENTITY = uuid.uuid4()


def message(annotations: dict[str, bytes] | None = None, identity: uuid.UUID | None = None) -> Message:
    decoder = Decoder()
    decoder.feed(pack_message(4, 8, 77, 70, b"", annotations, identity.bytes if identity else None))
    received = decoder.next_message()
    assert received is not None
    return received


def client() -> Any:
    return Connection(SimpleNamespace(close=lambda: None), ("1.2.3.4", 5))


def test_outside_a_call_there_is_nothing() -> None:
    context = CallContext()
    assert context.client is None
    assert context.client_sock_addr is None
    assert (context.seq, context.msg_flags, context.serializer_id) == (0, 0, 0)
    assert context.annotations == {}
    assert context.response_annotations == {}
    assert context.correlation_id is None
    assert context.request_annotations() == (None, None)
    assert context.reply_annotations() is None


def test_inside_a_call() -> None:
    context, caller = CallContext(), client()
    context.begin(caller, message({"ABCD": b"x"}, IDENTITY))
    assert context.client is caller
    assert context.client_sock_addr == ("1.2.3.4", 5)
    assert (context.seq, context.serializer_id) == (77, 70)
    assert context.annotations == {"ABCD": b"x"}
    assert context.correlation_id == IDENTITY
    context.response_annotations["RESP"] = b"y"
    assert context.reply_annotations() == {"RESP": b"y"}
    # Calls that the method makes carry the same.
    assert context.request_annotations() == ({"ABCD": b"x"}, IDENTITY.bytes)


@pytest.mark.parametrize("key", ["FAST", "HMAC", "CORR", "BLBI", "STRM"])
def test_annotations_of_the_protocols_do_not_travel_on(key: str) -> None:
    """FAST would choose our handshake data at a third daemon; HMAC and CORR have it drop us, and all who share the proxy."""
    context = CallContext()
    context.begin(client(), message({key: b"x", "ABCD": b"y"}))
    assert context.annotations == {key: b"x", "ABCD": b"y"}
    assert context.request_annotations() == ({"ABCD": b"y"}, None)
    context.begin(client(), message({key: b"x"}))
    context.annotations = {key: b"z"}
    assert context.request_annotations() == (None, None)


def test_nothing_leaks_into_the_next_call() -> None:
    context = CallContext()
    context.begin(client(), message({"ABCD": b"x"}, IDENTITY))
    context.annotations["MORE"] = b"z"
    context.response_annotations = {"RESP": b"y"}
    context.end()
    context.begin(client(), message())
    assert context.annotations == {}
    assert context.reply_annotations() is None
    assert context.correlation_id != IDENTITY
    context.end()
    assert context.request_annotations() == (None, None)


def test_reply_to_a_nested_call_is_not_our_reply() -> None:
    context = CallContext()
    context.begin(client(), message())
    context.received(message({"FROM": b"nested"}))
    assert context.response_annotations == {"FROM": b"nested"}
    assert context.reply_annotations() is None
    context.response_annotations = {"OURS": b"1"}
    assert context.reply_annotations() == {"OURS": b"1"}
    context.received(message())
    assert context.reply_annotations() == {"OURS": b"1"}


def test_client_sees_the_last_reply_only() -> None:
    context = CallContext()
    context.received(message({"RESP": b"1"}))
    assert context.response_annotations == {"RESP": b"1"}
    context.received(message())
    assert context.response_annotations == {}


def test_correlation_id_is_a_uuid() -> None:
    context = CallContext()
    with pytest.raises(TypeError, match=r"uuid\.UUID"):
        context.correlation_id = "text"  # type: ignore[assignment]
    context.correlation_id = IDENTITY
    assert context.request_annotations() == (None, IDENTITY.bytes)
    context.correlation_id = None
    assert context.request_annotations() == (None, None)


def test_a_call_has_a_correlation_id_as_soon_as_it_is_asked_for() -> None:
    context = CallContext()
    context.begin(client(), message({"ABCD": b"x"}))
    assert context.request_annotations() == ({"ABCD": b"x"}, None), "nothing is made for a call of its own"
    made = context.correlation_id
    assert made is not None
    assert made.version == 4
    assert context.correlation_id == made
    assert context.request_annotations() == ({"ABCD": b"x"}, made.bytes)
    other = CallContext()
    other.from_global(context.to_global())
    assert other.correlation_id == made
    context.correlation_id = None
    assert context.correlation_id is None, "as the method wants it"
    assert context.request_annotations() == ({"ABCD": b"x"}, None)
    context.end()
    assert context.correlation_id is None
    context.begin(client(), message())
    assert context.correlation_id not in (None, made)


def test_each_thread_has_its_own() -> None:
    current_context.annotations = {"MAIN": b"1"}
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(current_context.annotations))
    thread.start()
    thread.join()
    current_context.end()
    assert seen == [{}]


def test_handing_over_to_another_thread() -> None:
    context, other = CallContext(), CallContext()
    caller = client()
    context.begin(caller, message({"ABCD": b"x"}, IDENTITY))
    other.from_global(context.to_global())
    assert other.client is caller
    assert other.annotations == {"ABCD": b"x"}
    assert other.correlation_id == IDENTITY
    other.annotations["MORE"] = b"y"
    assert "MORE" not in context.annotations


def test_tracked_resources_are_closed_with_the_connection() -> None:
    class Resource:
        closed = 0

        def close(self) -> None:
            self.closed += 1

    context, caller = CallContext(), client()
    with pytest.raises(PyroError, match="inside a remote call"):
        context.track_resource(Resource())
    context.begin(caller, message())
    kept, forgotten = Resource(), Resource()
    context.track_resource(kept)
    context.track_resource(forgotten)
    context.untrack_resource(forgotten)
    context.end()
    caller.release()
    assert (kept.closed, forgotten.closed) == (1, 0)


def test_a_cancel_does_not_reach_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is woken by it may have begun that before its event is set."""
    state, cancelled = current_context.current(), []

    class Event(threading.Event):
        def set(self) -> None:
            state.on_cancel = lambda: cancelled.append("the next call")
            super().set()

    monkeypatch.setattr(threading, "Event", Event)
    assert not current_context.wait_cancelled(0)
    state.on_cancel = lambda: cancelled.append("this call")
    try:
        state.cancel()
        assert cancelled == ["this call"]
    finally:
        current_context.end()
