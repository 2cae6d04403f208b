"""What the proxies of both facades do as Pyro's, and what stands for another process's daemon."""

from __future__ import annotations

from pathlib import Path

import pytest
from compat.programs import output_of

PROGRAM = """
import copy, pickle
from {module} import Proxy, Daemon
from {facade} import config
{serializer}

proxy = Proxy("PYRO:x@localhost:1")
print(proxy._pyroTimeout)
for seconds in (5, None, 0, 2.5):
    proxy._pyroTimeout = seconds
    print(proxy._pyroTimeout, end=" ")
print(copy.copy(proxy)._pyroTimeout)
for seconds in (None, 3, 0.0):
    config.COMMTIMEOUT = seconds
    print(config.COMMTIMEOUT, Proxy("PYRO:x@localhost:1")._pyroTimeout, end=" ")
print()

proxy._pyroSerializer = "unheard-of"
there = loads(dumps(proxy))
print(there._pyroSerializer, there._pyroTimeout)
proxy._pyroSerializer = "x" * 41
print(loads(dumps(proxy))._pyroSerializer)
proxy._pyroSerializer = "pickle"
print(loads(dumps(proxy))._pyroSerializer)

with Daemon() as daemon:
    arrived = loads(dumps(daemon))
    print(isinstance(arrived, Daemon), vars(arrived), repr(arrived).split(" at ")[0], "unusable" in repr(arrived))
"""


@pytest.mark.parametrize(
    ("facade", "module", "serializer"),
    [
        ("Pyro5", "Pyro5.api", "from Pyro5.serializers import serializers; s = serializers['serpent']"),
        ("Pyro4", "Pyro4", "from Pyro4.util import get_serializer; s = get_serializer('serpent')"),
    ],
)
def test_proxies_and_daemons(facade: str, module: str, serializer: str, tmp_path: Path) -> None:
    serializer += "\nloads, dumps = s.loads, s.dumps"
    lines = output_of(
        facade, tmp_path, PROGRAM.format(facade=facade, module=module, serializer=serializer)
    ).splitlines()
    name = {"Pyro5": "Pyro5.server.Daemon", "Pyro4": "Pyro4.core.Daemon"}[facade]
    assert lines == [
        "0.0",
        "5 None 0 2.5 2.5",
        "None None 3 3 0.0 0.0 ",
        "unheard-of 0.0",
        "None",
        "None",
        f"True {{}} <{name} True",
    ]
