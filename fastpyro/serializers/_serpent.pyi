from typing import Final, final

from fastpyro.serializers._peer_codec import PeerCodec

HEADER: Final[bytes]

@final
class SerpentCodec(PeerCodec):
    bytes_literal: bool
