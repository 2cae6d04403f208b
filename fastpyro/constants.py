"""The numbers of the wire's message kinds and flags, as protocol 502 has them.

Source: the header of Pyro5's protocol; `docs/protocol.md` describes the whole message.
"""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final


PROTOCOL_VERSION: Final = 502
OLD_PROTOCOL_VERSION: Final = 48
"""Pyro4's; `_pyro4_message` translates its numbers into those below."""

MSG_CONNECT: Final = 1
MSG_CONNECTOK: Final = 2
MSG_CONNECTFAIL: Final = 3
MSG_INVOKE: Final = 4
MSG_RESULT: Final = 5
MSG_PING: Final = 6

MSG_CANCEL: Final = 16
"""Native dialect: nobody waits for the reply to the request of that number any more. It has no reply itself."""

FLAGS_EXCEPTION: Final = 1
FLAGS_COMPRESSED: Final = 2
FLAGS_ONEWAY: Final = 4
FLAGS_BATCH: Final = 8
FLAGS_ITEMSTREAMRESULT: Final = 16
FLAGS_KEEPSERIALIZED: Final = 32
FLAGS_CORR_ID: Final = 64
FLAGS_META_ON_CONNECT: Final = 0x4000
"""Protocol 48 only, where it is 16: the client wants metadata in CONNECTOK."""

SERPENT_ID: Final = 1
MARSHAL_ID: Final = 2
JSON_ID: Final = 3
MSGPACK_ID: Final = 4
PING_SERIALIZER_ID: Final = 42
"""The payload of the peers' ping messages; nothing is serialized in them."""

PICKLE_ID: Final = 84
DILL_ID: Final = 85
CLOUDPICKLE_ID: Final = 87
"""Serializers that only protocol 48 has a number for; these are ours."""

DAEMON_NAME: Final = "Pyro.Daemon"
NAMESERVER_NAME: Final = "Pyro.NameServer"

PULL: Final = "pull_stream_items"
"""Native dialect: the method of the daemon's own object that gives many items of a stream; its most items and bytes."""
MOST_PULLED_ITEMS: Final = 256
MOST_PULLED_BYTES: Final = 65536
PULL_GOES_ON: Final = 0
PULL_ENDED: Final = 1
PULL_FAILED: Final = 2
"""What its answer says of the stream."""

NATIVE_SERIALIZER_ID: Final = 70
"""Serializer id of the native codec; no peer uses it (they stop at 7)."""
FLAGS_NOT_STARTED: Final = 0x2000
"""Native dialect, with RETRIES: an error ended a call before it began."""
FLAGS_BUFFERS = 0x8000
"""Native dialect: big buffers stand behind the encoded values; see `_assembler`."""
