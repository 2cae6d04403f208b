"""pyzmq and msgpack by hand: REQ to REP, one server loop."""

from __future__ import annotations

import sys
from typing import Any

import client
from subject import Subject

NAME = "pyzmq + msgpack"
TRANSPORTS = ("tcp", "unix")


def version() -> str:
    import msgpack
    import zmq

    return f"{zmq.__version__} + {'.'.join(map(str, msgpack.version))}"


def serve(transport: str, path: str) -> None:
    import msgpack
    import zmq

    shared = Subject()
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.bind(f"ipc://{path}" if transport == "unix" else "tcp://127.0.0.1:0")
    print(socket.getsockopt_string(zmq.LAST_ENDPOINT), flush=True)
    while True:
        client_id, empty, request = socket.recv_multipart()
        name, args, kwargs = msgpack.unpackb(request)
        answer = getattr(shared, name)(*args, **kwargs)
        socket.send_multipart([client_id, empty, msgpack.packb(answer)])


class Remote:
    def __init__(self, socket: Any) -> None:
        import msgpack

        self._socket = socket
        self._pack, self._unpack = msgpack.packb, msgpack.unpackb

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._socket.send(self._pack((name, args, kwargs)))
            return self._unpack(self._socket.recv())

        return call


class Client(client.Client):
    def __init__(self, address: str) -> None:
        import zmq

        self.socket = zmq.Context.instance().socket(zmq.REQ)
        self.socket.connect(address)
        self.remote = Remote(self.socket)

    def close(self) -> None:
        self.socket.close(0)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
