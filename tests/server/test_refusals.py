"""What strangers are told who are refused, in both dialects."""

from __future__ import annotations

import socket

import pytest

from fastpyro.constants import MARSHAL_ID, MSG_CONNECTFAIL, OLD_PROTOCOL_VERSION, PROTOCOL_VERSION
from fastpyro.errors import ProtocolError
from fastpyro.protocol._assembler import Decoder
from fastpyro.serializers.registry import get_serializer_by_id
from fastpyro.server.connection import Connection
from fastpyro.server.refusals import refuse
from fastpyro.transport.channel import open_channel


@pytest.mark.parametrize("dialect", [PROTOCOL_VERSION, OLD_PROTOCOL_VERSION])
@pytest.mark.parametrize("key", [None, b"secret"])
def test_the_reason_arrives_in_the_strangers_dialect(dialect: int, key: bytes | None) -> None:
    if dialect == PROTOCOL_VERSION and key:
        key = None  # only protocol 48 knows them
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = open_channel(ours)
        channel.set_dialect(dialect)
        refuse(Connection(channel, "a stranger"), ProtocolError("too much babble"), key)
        theirs.settimeout(10)
        decoder = Decoder()
        decoder.set_hmac_key(key)
        decoder.feed(theirs.recv(65536))
        message = decoder.next_message()
        assert message is not None
        assert (message.kind, message.serializer_id) == (MSG_CONNECTFAIL, MARSHAL_ID)
        assert get_serializer_by_id(MARSHAL_ID, dialect).loads(message.payload) == "too much babble"
        channel.close()


def test_nobody_waits_for_a_stranger_who_has_gone() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        channel = open_channel(ours)
        channel.set_dialect(PROTOCOL_VERSION)
        refuse(Connection(channel, "a stranger"), ProtocolError("too much babble"), None)
        channel.close()
