from typing import final

from fastpyro.serializers._peer_codec import PeerCodec

class MarshalReading: ...

@final
class MarshalCodec(PeerCodec): ...
