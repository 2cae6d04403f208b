"""zerorpc with its defaults: gevent, ZeroMQ, msgpack. It has no keyword arguments; they are sent as a dict."""

from __future__ import annotations

import sys
from typing import Any

import client
from subject import Subject

NAME = "zerorpc"
TRANSPORTS = ("tcp", "unix")


def version() -> str:
    from importlib.metadata import version as version_of

    return version_of("zerorpc")


class Served(Subject):
    def echo_with(self, args: Any, kwargs: Any) -> Any:
        return [list(args), kwargs]


def serve(transport: str, path: str) -> None:
    import socket

    import zerorpc

    address = f"ipc://{path}"
    if transport == "tcp":
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    server = zerorpc.Server(Served(), heartbeat=None)
    server.bind(address)
    print(address, flush=True)
    server.run()


class Client(client.Client):
    def __init__(self, address: str) -> None:
        import zerorpc

        self.remote = zerorpc.Client(address, heartbeat=None, timeout=60)

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return self.remote.echo_with(list(args), kwargs)

    def close(self) -> None:
        self.remote.close()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
