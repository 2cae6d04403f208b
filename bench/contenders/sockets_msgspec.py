"""Plain sockets and msgspec by hand: 4 bytes length and msgpack, a thread for each connection."""

from __future__ import annotations

import os
import socket
import sys
import threading
from typing import Any

import client
from subject import Subject

NAME = "sockets + msgspec"
TRANSPORTS = ("tcp", "unix")


def version() -> str:
    import msgspec

    return str(msgspec.__version__)


class Stream:
    """Messages over a socket: 4 bytes length, then the message."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.rest = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(len(data).to_bytes(4, "big") + data)

    def receive(self) -> bytes | memoryview:
        data = self.rest
        while len(data) < 4:
            data += self._more()
        size = int.from_bytes(data[:4], "big") + 4
        if len(data) < size:
            whole = bytearray(size)
            whole[: len(data)] = data
            view, at = memoryview(whole), len(data)
            while at < size:
                count = self.sock.recv_into(view[at:])
                if not count:
                    raise ConnectionError
                at += count
            self.rest = b""
            return view[4:]
        self.rest = data[size:]
        return data[4:size]

    def _more(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError
        return data


def serve(transport: str, path: str) -> None:
    import msgspec

    shared = Subject()

    def talk(sock: socket.socket) -> None:
        encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
        if transport == "tcp":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            stream = Stream(sock)
            while True:
                name, args, kwargs = decode(stream.receive())
                answer = getattr(shared, name)(*args, **kwargs)
                if name != "note":
                    stream.send(encode(answer))
        except ConnectionError:
            sock.close()

    if transport == "unix":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(100)
        print(path, flush=True)
    else:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        print("{}:{}".format(*listener.getsockname()), flush=True)
    while True:
        threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()


class Remote:
    def __init__(self, sock: socket.socket) -> None:
        import msgspec

        self._stream = Stream(sock)
        self._encode, self._decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._stream.send(self._encode((name, args, kwargs)))
            return self._decode(self._stream.receive())

        return call


class Client(client.Client):
    def __init__(self, address: str) -> None:
        if os.path.exists(address):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(address)
        else:
            host, port = address.rsplit(":", 1)
            self.sock = socket.create_connection((host, int(port)))
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.remote = Remote(self.sock)

    def oneway(self, count: int) -> Any:
        for number in range(count):
            self.remote._stream.send(self.remote._encode(("note", (number,), {})))
        return self.remote.last_note()

    def close(self) -> None:
        self.sock.close()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
