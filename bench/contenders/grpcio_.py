"""grpcio with generic handlers and msgpack bytes (no generated code), an insecure channel, and a pool of 16 threads."""

from __future__ import annotations

import sys
from concurrent import futures
from typing import Any

import client
from subject import METHODS, Subject

NAME = "grpcio"
TRANSPORTS = ("tcp", "unix")
LIMITS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def version() -> str:
    import grpc

    return str(grpc.__version__)


def serve(transport: str, path: str) -> None:
    import grpc
    import msgpack

    shared = Subject()

    def handler(name: str) -> Any:
        method = getattr(shared, name)

        def answer(request: Any, context: Any) -> Any:
            args, kwargs = request
            return method(*args, **kwargs)

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=msgpack.unpackb, response_serializer=lambda answer: msgpack.packb([answer])
        )

    server = grpc.server(futures.ThreadPoolExecutor(16), options=LIMITS)
    generic = grpc.method_handlers_generic_handler("Subject", {name: handler(name) for name in METHODS})
    server.add_generic_rpc_handlers((generic,))
    address = f"unix:{path}" if transport == "unix" else "127.0.0.1:0"
    port = server.add_insecure_port(address)
    server.start()
    print(address if transport == "unix" else f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


class Remote:
    def __init__(self, channel: Any, msgpack: Any) -> None:
        for name in METHODS:
            call = channel.unary_unary(
                f"/Subject/{name}", request_serializer=msgpack.packb, response_deserializer=msgpack.unpackb
            )
            setattr(self, name, lambda *args, call=call, **kwargs: call((args, kwargs))[0])  # None would be an error
            setattr(self, f"{name}_future", lambda *args, call=call, **kwargs: call.future((args, kwargs)))


class Client(client.Client):
    def __init__(self, address: str) -> None:
        import grpc
        import msgpack

        self.channel = grpc.insecure_channel(address, options=LIMITS)
        self.remote = Remote(self.channel, msgpack)

    def futures(self, count: int) -> list[Any]:
        results = [self.remote.add_future(number, 1) for number in range(count)]
        return [result.result()[0] for result in results]

    def close(self) -> None:
        self.channel.close()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
