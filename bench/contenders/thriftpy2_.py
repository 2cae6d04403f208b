"""thriftpy2 with its compiled binary protocol and buffered transport, a thread for each connection."""

from __future__ import annotations

import io
import sys
from typing import Any

import client
from subject import Subject

NAME = "thriftpy2"
TRANSPORTS = ("tcp", "unix")

DEFINITION = """
struct Row { 1: i64 id, 2: string name, 3: double value, 4: bool flag }
struct Echo { 1: string text, 2: i64 number, 3: list<i64> key }
service Subject {
    void null(),
    Echo echo(1: string text, 2: i64 number, 3: list<i64> key),
    i64 add(1: i64 left, 2: i64 right),
    oneway void note(1: i64 value),
    i64 last_note(),
    list<Row> rows(1: list<Row> rows),
    i64 upload(1: binary data),
    binary download(1: i64 size),
    binary echo_bytes(1: binary data),
    double cpu_seconds()
}
"""


def version() -> str:
    import thriftpy2

    return str(thriftpy2.__version__)


def definition() -> Any:
    import thriftpy2

    return thriftpy2.load_fp(io.StringIO(DEFINITION), "subject_thrift")


def serve(transport: str, path: str) -> None:
    import socket

    from thriftpy2.protocol import TCyBinaryProtocolFactory
    from thriftpy2.rpc import make_server
    from thriftpy2.transport import TCyBufferedTransportFactory

    thrift = definition()

    class Served(Subject):
        def echo(self, text: str, number: int, key: list[int]) -> Any:
            return thrift.Echo(text, number, key)

    port = 0
    if transport == "tcp":
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    place = {"unix_socket": path} if transport == "unix" else {"host": "127.0.0.1", "port": port}
    server = make_server(
        thrift.Subject,
        Served(),
        proto_factory=TCyBinaryProtocolFactory(),
        trans_factory=TCyBufferedTransportFactory(),
        client_timeout=None,
        **place,
    )
    server.trans.client_timeout = None  # make_server does not pass it on for Unix sockets
    server.trans.listen()
    server.trans.listen = lambda: None  # the address is printed when it is ready
    print(path if transport == "unix" else f"127.0.0.1:{port}", flush=True)
    server.serve()


class Client(client.Client):
    def __init__(self, address: str) -> None:
        from thriftpy2.protocol import TCyBinaryProtocolFactory
        from thriftpy2.rpc import make_client
        from thriftpy2.transport import TCyBufferedTransportFactory

        self.thrift = definition()
        place: dict[str, Any] = {"unix_socket": address}
        if not address.startswith("/"):
            host, port = address.rsplit(":", 1)
            place = {"host": host, "port": int(port)}
        self.remote = make_client(
            self.thrift.Subject,
            proto_factory=TCyBinaryProtocolFactory(),
            trans_factory=TCyBufferedTransportFactory(),
            timeout=None,
            **place,
        )

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        answer = self.remote.echo(*args, **kwargs)
        return [[answer.text, answer.number], {"key": answer.key}]

    def rows(self, rows: Any) -> Any:
        row = self.thrift.Row
        answers = self.remote.rows([row(**one) for one in rows])
        return [{"id": one.id, "name": one.name, "value": one.value, "flag": one.flag} for one in answers]

    def oneway(self, count: int) -> Any:
        for number in range(count):
            self.remote.note(number)
        return self.remote.last_note()

    def close(self) -> None:
        self.remote.close()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
