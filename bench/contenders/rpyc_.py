"""rpyc with a threaded server; the subject is the root object, plain values travel by value."""

from __future__ import annotations

import sys
from typing import Any

import client
from subject import METHODS, Subject

NAME = "rpyc"
TRANSPORTS = ("tcp", "unix")


def version() -> str:
    import rpyc

    return ".".join(map(str, rpyc.__version__)) if isinstance(rpyc.__version__, tuple) else str(rpyc.__version__)


def serve(transport: str, path: str) -> None:
    import rpyc
    from rpyc.utils.server import ThreadedServer

    shared = Subject()
    exposed = {f"exposed_{name}": staticmethod(getattr(shared, name)) for name in METHODS}
    service = type("SubjectService", (rpyc.Service,), exposed)
    place = {"socket_path": path} if transport == "unix" else {"hostname": "127.0.0.1", "port": 0}
    server = ThreadedServer(service, protocol_config={"allow_public_attrs": True}, **place)
    print(path if transport == "unix" else f"{server.host}:{server.port}", flush=True)
    server.start()


class Client(client.Client):
    def __init__(self, address: str) -> None:
        import rpyc

        self.library = rpyc
        if address.startswith("/"):
            self.connection = rpyc.utils.factory.unix_connect(address)
        else:
            host, port = address.rsplit(":", 1)
            self.connection = rpyc.connect(host, int(port))
        self.remote = self.connection.root

    # Lists and dicts travel as references: an echo would give back our own list, and each look at the other's is a call.
    rows = None  # type: ignore[assignment]
    echo = None  # type: ignore[assignment]

    def futures(self, count: int) -> list[Any]:
        add = self.library.async_(self.remote.add)
        results = [add(number, 1) for number in range(count)]
        return [result.value for result in results]

    def close(self) -> None:
        self.connection.close()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
