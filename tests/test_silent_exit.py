"""Programs that end with everything open print nothing of their own accord."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from server_process import SubjectServer

BEGIN = """
import sys
from dataclasses import dataclass
import fastpyro

@fastpyro.register_class
@dataclass
class Shot:
    time: float
    frame: object

class Unknown:
    pass

proxy = fastpyro.Proxy(sys.argv[1])
"""

PROGRAMS = {
    "an object of a registered class": "shot = Shot(1.0, 2)\ntry: proxy.echo(shot)\nexcept Exception as e: kept = e",
    "an object of an unknown class": "unknown = Unknown()\ntry: proxy.echo(unknown)\nexcept Exception as e: kept = e",
    "a proxy in a circle": "circle = [proxy, Shot]\ncircle.append(circle)\nproxy.add(1, 2)",
    "asynchronous calls": "twin = fastpyro.asyncproxy(proxy)\nsums = [twin.add(1, 2) for _ in range(5)]\nsums[4].value",
    "a call under way": "twin = fastpyro.asyncproxy(proxy)\nproxy._pyroBind()\nresult = twin.sleep(5)",
    "a batch": "batch = fastpyro.BatchProxy(proxy)\nbatch.add(1, 2)\nlist(batch())",
    "a daemon": "daemon = fastpyro.Daemon(host='127.0.0.1')\nimport threading\n"
    "threading.Thread(target=daemon.requestLoop, daemon=True).start()\nproxy.add(1, 2)",
}


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with SubjectServer() as server:
        yield server.uri()


@pytest.mark.parametrize("portable", ["", "1"])
@pytest.mark.parametrize("what", PROGRAMS)
def test_nothing_is_printed(what: str, portable: str, uri: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore", "-c", BEGIN + PROGRAMS[what], uri],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "FASTPYRO_PORTABLE": portable} if portable else None,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
