"""A name server of any of the libraries, on 127.0.0.1. Arguments: the library; port for broadcast. Prints uri and port."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from library import load  # type: ignore[import-not-found]

pyro = load(sys.argv[1])
broadcast_port = int(sys.argv[2])
start: Any = importlib.import_module("Pyro4.naming").startNS if sys.argv[1] == "Pyro4" else pyro.start_ns
uri, daemon, _ = start("127.0.0.1", 0, False)
responder: Any = importlib.import_module(
    {"Pyro4": "Pyro4.naming", "Pyro5": "Pyro5.nameserver", "fastpyro": "fastpyro.naming.broadcast"}[sys.argv[1]]
).BroadcastServer(uri, "127.0.0.1", broadcast_port)
responder.runInThread()
print("uri", uri, responder.getPort(), flush=True)
daemon.requestLoop()
