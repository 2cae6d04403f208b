from collections.abc import Mapping
from typing import Final

from typing_extensions import Buffer

from fastpyro.protocol._message import Outgoing

FLAGS: Final[tuple[tuple[int, int], ...]]
SERIALIZERS: Final[tuple[tuple[int, int], ...]]

def pyro4_bytes_of(message: Outgoing, hmac_key: bytes | None = None, max_message_size: int = 0) -> bytes: ...
def pack_pyro4_message(
    kind: int,
    flags: int,
    seq: int,
    serializer_id: int,
    payload: Buffer,
    annotations: Mapping[str, Buffer] | None = None,
    correlation_id: bytes | None = None,
    hmac_key: bytes | None = None,
    max_message_size: int = 0,
) -> bytes: ...
