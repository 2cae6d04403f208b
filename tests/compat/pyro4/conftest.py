"""For tests that run under the facade of Pyro4; `tests/compat/test_pyro4.py` starts them, each file in its own process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import fastpyro

_found = find_spec("Pyro4")  # not imported: what the environment says counts when a test does that
if _found is None or Path(_found.origin or "").parent != Path(fastpyro.__file__).parent / "compat" / "pyro4":
    collect_ignore_glob = ["*"]
else:
    import Pyro4
    import Pyro4.naming


@contextlib.contextmanager
def serving(daemon: Any) -> Iterator[Any]:
    """Run a daemon's request loop in a thread as long as the context lasts."""
    thread = threading.Thread(target=daemon.requestLoop)
    thread.start()
    try:
        yield daemon
    finally:
        daemon.shutdown()
        thread.join(10)
        daemon.close()
        assert not thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Callable[..., Any]]:
    """Return a function that serves an object and returns its URI; it takes the daemon's HMAC key, too."""
    with contextlib.ExitStack() as stack:

        def start(obj: Any, name: str | None = None, key: Any = None) -> Any:
            daemon = Pyro4.Daemon()
            daemon._pyroHmacKey = key
            uri = daemon.register(obj, name)
            stack.enter_context(serving(daemon))
            return uri

        yield start


@pytest.fixture
def name_server() -> Iterator[Any]:
    """Run a name server that the configuration points to; gives its daemon."""
    before = Pyro4.config.NS_PORT
    uri, daemon, _ = Pyro4.naming.startNS(port=0)
    Pyro4.config.NS_PORT = uri.port
    try:
        with serving(daemon):
            yield daemon
    finally:
        Pyro4.config.NS_PORT = before
