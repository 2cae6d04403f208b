"""A client of any of the libraries, which tries every feature. Prints one JSON document: what came of each.

Arguments: library; uri; serializer ("-": its own choice); HMAC key ("-": none); descriptor of a connected socket.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import uuid
from typing import Any

from library import load  # type: ignore[import-not-found]

pyro = load(sys.argv[1])
uri, serializer, key = sys.argv[2:5]
connected = socket.socket(fileno=int(sys.argv[5])) if len(sys.argv) > 5 else None
outcome: dict[str, Any] = {}
PICKLES = ("pickle", "dill", "cloudpickle")  # Pyro4 makes no proxies in them


class Curious(pyro.Proxy):  # type: ignore[misc, name-defined]
    """A proxy that looks at the daemon's answer."""

    def _pyroValidateHandshake(self, response: Any) -> None:
        outcome.setdefault("handshake", response)


class Receiver:
    """What the server calls back."""

    @pyro.expose  # type: ignore[untyped-decorator]
    def receive(self, value: Any) -> Any:
        return ["received", value]


def proxy(**keywords: Any) -> Any:
    """Return a proxy as the command line says."""
    made = (pyro.Proxy if connected is not None else Curious)(uri, **keywords)
    made._pyroHandshake = "good day"
    if serializer != "-":
        made._pyroSerializer = serializer
    if key != "-":
        made._pyroHmacKey = key.encode()
    return made


def error_of(call: Any) -> list[Any]:
    """Return what a call raises."""
    try:
        call()
    except Exception as error:
        traceback = getattr(error, "_pyroTraceback", None)
        return [type(error).__name__, str(error), getattr(error, "extra", None), bool(traceback)]
    return []


def batch_of(*calls: tuple[str, Any]) -> list[Any]:
    """Return the results of a batch, and its error."""
    batch = pyro.BatchProxy(subject)
    for name, args in calls:
        getattr(batch, name)(*args)
    results: list[Any] = []
    try:
        results.extend(batch())
    except Exception as error:
        results.append(type(error).__name__)
    return results


with proxy(**({} if connected is None else {"connected_socket": connected})) as subject:
    outcome["call"] = subject.add(3, 4)
    outcome["values"] = subject.echo(None, True, 1, -(2**70), 2.5, "té\n'\"", [1, [2]], key={"k": [3]})
    outcome["error"] = error_of(lambda: subject.fail("why"))
    outcome["builtin error"] = error_of(lambda: subject.divide(1, 0))[:1]
    outcome["attribute"] = subject.size
    subject.size = 5
    outcome["attribute set"] = subject.size
    outcome["unknown"] = error_of(lambda: subject.nothing)[:1]
    outcome["batch"] = batch_of(("add", (1, 2)), ("echo", ("x",)), ("add", (3, 4)))
    outcome["batch that fails"] = batch_of(("add", (1, 2)), ("divide", (1, 0)), ("add", (3, 4)))
    subject.note("oneway")
    batch = pyro.BatchProxy(subject)
    batch.note("in a batch")
    outcome["oneway batch"] = batch(oneway=True)
    for _ in range(1000):
        outcome["oneway"] = sorted(subject.noted_so_far())  # Pyro runs a oneway call in a thread of its own
        if len(outcome["oneway"]) == 2:
            break
    outcome["stream"] = list(subject.numbers(4))
    stream = subject.numbers(1000)
    outcome["stream's start"] = [next(stream), next(stream)]
    stream.close()
    context = pyro.current_context
    context.annotations, context.correlation_id = {"FORE": b"sent"}, uuid.UUID(int=7)
    outcome["annotations"] = list(subject.annotate())
    outcome["response annotations"] = bytes(context.response_annotations["BACK"]).decode()
    context.annotations, context.correlation_id = {}, None
    outcome["autoproxy"] = "Proxy" if serializer in PICKLES else type(subject.myself()).__name__
    outcome["blob"] = subject.open(pyro.SerializedBlob({"about": 1}, [1, "two"])) if serializer != "json" else None
    pyro.config.COMPRESSION = True
    compressed = proxy() if connected is None else subject
    outcome["compression"] = len(compressed.echo("x" * 20000)[0][0])
    pyro.config.COMPRESSION = False
    daemon = pyro.Daemon(host="127.0.0.1")
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
    receiver = Receiver()
    daemon.register(receiver)
    outcome["callback"] = subject.call_back(receiver, "hello") if key == "-" else ["received", "hello"]
if connected is None:
    refused = proxy()
    refused._pyroHandshake = "refuse me"
    outcome["refused"] = error_of(refused._pyroBind)[:2]
    outcome["refused"][-1] = "you asked for it" in outcome["refused"][-1]
print(json.dumps(outcome, default=list))
