"""A client of any of the libraries that uses a name server. Prints one JSON document: what came of each step.

Arguments: library; host and port of the name server; uri of an object to register; port for broadcast, 0 for none.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from library import load  # type: ignore[import-not-found]

pyro = load(sys.argv[1])
host, port, uri, broadcast_port = sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
outcome: dict[str, Any] = {}

with pyro.locate_ns(host, port) as name_server:
    name_server.ping()
    name_server.register("first", uri, metadata={"tag", "one"})
    name_server.register("second", uri)
    outcome["lookup"] = str(name_server.lookup("first")) == uri
    found, metadata = name_server.lookup("first", return_metadata=True)
    outcome["metadata"] = [str(found) == uri, sorted(metadata)]
    outcome["list"] = sorted(name_server.list())
    outcome["prefix"] = name_server.list(prefix="fir") == {"first": uri}
    outcome["regex"] = sorted(name_server.list(regex="(first|second)"))
    name_server.set_metadata("second", ["two"])
    try:
        name_server.lookup("third")
    except Exception as error:
        outcome["unknown"] = type(error).__name__
    try:
        name_server.register("first", uri, safe=True)
    except Exception as error:
        outcome["safe"] = type(error).__name__
    with pyro.Proxy(f"PYRONAME:first@{host}:{port}") as subject:
        outcome["by name"] = subject.add(3, 4)
    with pyro.Proxy(f"PYROMETA:tag,one@{host}:{port}") as subject:
        outcome["by metadata"] = subject.add(3, 4)
    outcome["removed"] = name_server.remove("second")
    outcome["count"] = name_server.count()
if broadcast_port:
    pyro.config.NS_HOST = "127.0.0.2"  # where nobody is: so that the network is asked
    pyro.config.BROADCAST_ADDRS = "127.0.0.1" if sys.argv[1] == "Pyro4" else ["127.0.0.1"]
    pyro.config.NS_BCPORT = broadcast_port
    if sys.argv[1] == "fastpyro":
        pyro.config.NS_BROADCAST = True
    with pyro.locate_ns() as name_server:
        outcome["by broadcast"] = str(name_server.lookup("first")) == uri
print(json.dumps(outcome))
