"""How many Python functions one operation enters, in the client and in its daemon: each costs time that we can save.

Run as a program it prints them: ``python tests/support/python_frames.py [operation]`` names each function as well. With
another tree first in PYTHONPATH it counts that one.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import fastpyro
from fastpyro.naming.start import NameServerDaemon

PACKAGE = str(Path(fastpyro.__file__).parent)

TIMES = 25
"""How often an operation is counted. What others do meanwhile, as the monitor of a server, only adds: the least counts."""


@fastpyro.expose
class Subject:
    def nothing(self) -> None:
        return None

    def fail(self) -> None:
        raise ValueError("as it shall")

    def items(self) -> Iterator[int]:
        yield from range(1)


class Count(NamedTuple):
    """The functions that were entered, by the thread that calls and by all others: file, line and name of each."""

    client: list[str]
    server: list[str]

    @property
    def own(self) -> int:
        """How many are fastpyro's, and not of Python's library."""
        return sum(name.startswith(PACKAGE) for name in self.client + self.server)

    @property
    def total(self) -> int:
        """How many these are."""
        return len(self.client) + len(self.server)


class Counter:
    """Follows this thread, and those that begin within ``following()``."""

    def __init__(self) -> None:
        self.client: list[str] = []
        self.server: list[str] = []
        self.thread = threading.get_ident()

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename != __file__:
            seen = self.client if threading.get_ident() == self.thread else self.server
            seen.append(f"{code.co_filename}:{code.co_firstlineno} {code.co_name}")

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """Follow the threads that begin meanwhile; this one while it counts."""
        before = threading.getprofile()
        threading.setprofile(self)
        try:
            yield
        finally:
            threading.setprofile(before)

    def count(self, work: Callable[[], Any], settled: Callable[[], Any]) -> Count:
        """Return what ``work`` enters here, and the others until ``settled`` has returned, which enters nothing itself."""
        settled()
        self.client, self.server = [], []
        before = sys.getprofile()
        sys.setprofile(self)
        try:
            work()
        finally:
            sys.setprofile(before)
        settled()
        return Count(self.client[:], self.server[:])


class Place:
    """A daemon that serves a Subject, and a name server that knows it. Keeps the proxies: dropping one is work, too."""

    def __init__(self, uri: Any, name: str) -> None:
        self.uri = uri
        self.name = name
        self.proxies: list[Any] = []

    def error(self) -> Callable[[], None]:
        """A method raises; the client catches that."""
        proxy = self._proxy()

        def work() -> None:
            try:
                proxy.fail()
            except ValueError:
                return
            raise AssertionError("no error came")

        return work

    def stream_end(self) -> Callable[[], None]:
        """A stream has no more items."""
        proxy = self._proxy()
        items = proxy.items()
        assert next(items) == 0

        def work() -> None:
            assert next(items, None) is None

        return work

    def stream_item(self) -> Callable[[], None]:
        """A stream has an item."""
        items = self._proxy().items()
        return lambda: next(items) and None

    def connect(self) -> Callable[[], None]:
        """A proxy is bound."""
        proxy = self._keep(fastpyro.Proxy(self.uri))
        return lambda: proxy._pyroBind() and None

    def lookup(self) -> Callable[[], None]:
        """A proxy is made for a name, looks that up, connects, and calls."""
        return lambda: self._keep(fastpyro.Proxy(self.name)).nothing()

    def call(self) -> Callable[[], None]:
        """A call without all that."""
        proxy = self._proxy()
        return lambda: proxy.nothing()

    def _proxy(self) -> Any:
        proxy = self._keep(fastpyro.Proxy(self.uri))
        proxy.nothing()
        return proxy

    def _keep(self, proxy: Any) -> Any:
        self.proxies.append(proxy)
        return proxy


OPERATIONS = ("call", "error", "stream_item", "stream_end", "connect", "lookup")


def frames() -> dict[str, Count]:
    """Return what each operation enters, over TCP and native connections, with the thread server, once all is warm."""
    counter = Counter()
    counts = {}
    with counter.following(), _place() as place:
        probe = place._proxy()
        for operation in OPERATIONS:
            tries = [counter.count(getattr(place, operation)(), probe.nothing) for _ in range(TIMES)]
            counts[operation] = min(tries, key=lambda count: count.total)
    return counts


@contextlib.contextmanager
def _place() -> Iterator[Place]:
    with fastpyro.Daemon(host="127.0.0.1") as daemon, NameServerDaemon(host="127.0.0.1", port=0) as names:
        threads = [threading.Thread(target=each.requestLoop, daemon=True) for each in (daemon, names)]
        for thread in threads:
            thread.start()
        try:
            uri = daemon.register(Subject())
            assert names.nameserver is not None
            names.nameserver.register("subject", str(uri))
            yield Place(uri, f"PYRONAME:subject@{names.locationStr}")
        finally:
            daemon.shutdown()
            names.shutdown()
            for thread in threads:
                thread.join()


if __name__ == "__main__":
    for title, found in frames().items():
        print(f"{title}: {len(found.client)} + {len(found.server)} = {found.total}, {found.own} of them our own")
        if title in sys.argv[1:]:
            print(*(f"    client  {name}" for name in found.client), sep="\n")
            print(*(f"    server  {name}" for name in found.server), sep="\n")
