"""A server of any of the libraries. Arguments: its name; optionally an HMAC key, "-" for none; a descriptor to serve."""

from __future__ import annotations

import socket
import sys
from typing import Any

from library import load  # type: ignore[import-not-found]

pyro = load(sys.argv[1])
key = sys.argv[2] if len(sys.argv) > 2 and sys.argv[2] != "-" else None
connected = socket.socket(fileno=int(sys.argv[3])) if len(sys.argv) > 3 else None
if key is not None and sys.argv[1] == "fastpyro":
    pyro.config.SERIALIZERS_ACCEPTED = ["native", "serpent", "pickle", "dill", "cloudpickle"]


@pyro.expose
class Subject:
    """Everything that a client can ask for."""

    def __init__(self) -> None:
        self._size = 3
        self.noted: list[Any] = []

    def add(self, a: int, b: int) -> int:
        return a + b

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return [list(args), kwargs]

    def fail(self, text: str) -> None:
        error = ValueError(text)
        error.extra = 17  # type: ignore[attr-defined]
        raise error

    def divide(self, a: int, b: int) -> float:
        return a / b

    def numbers(self, count: int) -> Any:
        yield from range(count)

    @pyro.oneway  # type: ignore[untyped-decorator]
    def note(self, value: Any) -> None:
        self.noted.append(value)

    def noted_so_far(self) -> Any:
        return self.noted

    @property
    def size(self) -> int:
        return self._size

    @size.setter
    def size(self, value: int) -> None:
        self._size = value

    def call_back(self, other: Any, value: Any) -> Any:
        return other.receive(value)

    def myself(self) -> Any:
        return self

    def annotate(self) -> Any:
        context = pyro.current_context
        context.response_annotations = {"BACK": b"returned"}
        return bytes(context.annotations.get("FORE", b"")).decode(), str(context.correlation_id)

    def open(self, blob: Any) -> Any:
        return [blob.info, blob.deserialized()]


class Greeter(pyro.Daemon):  # type: ignore[misc, name-defined]
    """A daemon that says what it was greeted with."""

    def validateHandshake(self, conn: Any, data: Any) -> Any:
        if data == "refuse me":
            raise ValueError("you asked for it")
        return ["you said", data]


daemon = pyro.Daemon(connected_socket=connected) if connected is not None else Greeter(host="127.0.0.1")
if key is not None:
    daemon._pyroHmacKey = key.encode()
print("uri", daemon.register(Subject(), "subject"), flush=True)
daemon.requestLoop()
