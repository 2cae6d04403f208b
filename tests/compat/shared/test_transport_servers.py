"""What programs look at in a daemon's ``transportServer``."""

from __future__ import annotations

from pathlib import Path

import pytest
from compat.programs import output_of

PROGRAM = """
import {module} as Pyro, {servers}
Pyro.config.THREADPOOL_SIZE_MIN = 3
with Pyro.Daemon() as daemon:
    server = daemon.transportServer
    print(type(server).__name__, server.locationStr == daemon.locationStr, server.shutting_down)
    print(server.pool.num_workers(), len(server.pool.busy), len(server.pool.idle), server.pool.closed)
    print(server.housekeeper.pyroDaemon is daemon, str(server).replace(daemon.locationStr, "HERE"))
    for refused in (lambda: daemon.selector, lambda: server.combine_loop(None), lambda: daemon.combine(daemon)):
        try:
            print(refused())
        except TypeError as error:
            print("TypeError")
Pyro.config.SERVERTYPE = "multiplex"
with Pyro.Daemon() as daemon, Pyro.Daemon() as other:
    server = daemon.transportServer
    server.combine_loop(other.transportServer)
    print(str(server).replace(daemon.locationStr, "HERE"), server.clients, daemon.sockets[0] is daemon.sock)
"""


@pytest.mark.parametrize("module", ["Pyro4", "Pyro5.api"])
def test_where_it_listens_and_who_works(module: str, tmp_path: Path) -> None:
    servers = "Pyro4.socketserver.threadpoolserver" if module == "Pyro4" else "Pyro5.svr_threads"
    lines = output_of(module[:5], tmp_path, PROGRAM.format(module=module, servers=servers)).splitlines()
    assert lines == [
        "SocketServer_Threadpool True False",
        "3 0 3 False",
        "True <SocketServer_Threadpool on HERE; 3 workers>",
        *["TypeError"] * 3,
        "<SocketServer_Multiplex on HERE; 0 connections> set() True",
    ]
