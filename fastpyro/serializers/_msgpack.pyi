from typing import final

from fastpyro.serializers._peer_codec import PeerCodec

@final
class MsgpackCodec(PeerCodec): ...
