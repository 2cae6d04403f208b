"""The client that hostile servers attack, in a process: ``subject_client.py --report FD --good URI [--facade F]``.

Reads commands, a JSON object a line, and answers each with one. A command says what to do with a proxy for which URI, and
whom that may connect to; then the process calls a good daemon with another proxy, to show that it goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hostile import subject_daemon, watch
else:  # run as a program, with its own folder on the path
    import subject_daemon
    import watch

import fastpyro
from fastpyro import compat

MOST_ITEMS = 100
INTERRUPTS = 80


def _batch(proxy: Any, facade: str | None) -> list[Any]:
    batch = (sys.modules["Pyro4.core"] if facade == "Pyro4" else fastpyro).batch(proxy)
    for _ in range(3):
        batch.null()
    return list(batch())


def _asynchronous(proxy: Any, facade: str | None) -> Any:
    if facade != "Pyro4":
        return fastpyro.asyncproxy(proxy)
    proxy._pyroAsync()  # Pyro4's proxies become asynchronous themselves
    return proxy


def _values(results: list[Any]) -> list[Any]:
    if not all(result.wait(20) for result in results):
        raise SystemExit("an asynchronous call has no end")
    return [result.value for result in results]


def _interrupted(proxy: Any, _: str | None) -> None:
    """Make calls that a signal interrupts, sooner or later; in the end another thread makes one."""
    armed = False

    def interrupt(*_: object) -> None:
        if armed:
            raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    for number in range(INTERRUPTS):
        with contextlib.suppress(KeyboardInterrupt, fastpyro.errors.PyroError):
            armed = True
            signal.setitimer(signal.ITIMER_REAL, 0.00005 * (number % 40 + 1))
            proxy.null()
            armed = False
        armed = False
    thread = threading.Thread(target=proxy.null, daemon=True)
    thread.start()
    thread.join(20)
    if thread.is_alive():
        raise SystemExit("a thread waits for ever")


ACTIONS: dict[str, Callable[[Any, str | None], Any]] = {
    "bind": lambda proxy, _: proxy._pyroBind(),
    "call": lambda proxy, _: proxy.null(),
    "twice": lambda proxy, _: [proxy.null(), proxy.null()],
    "send much": lambda proxy, _: proxy.null(bytes(16 << 20)),
    "batch": _batch,
    "background": lambda proxy, facade: _values([_asynchronous(proxy, facade).null()]),
    "many": lambda proxy, facade: _values([twin.null() for twin in [_asynchronous(proxy, facade)] for _ in range(50)]),
    "stream": lambda proxy, _: list(itertools.islice(proxy.null(), MOST_ITEMS)),
    "attribute": lambda proxy, _: proxy.level,
    "metadata": lambda proxy, _: proxy._pyroGetMetadata(),
    "interrupted": _interrupted,
    "members": lambda proxy, _: (dir(proxy), repr(proxy), proxy._pyroUri, proxy._pyro_lock),
}


def _peak() -> int:
    """The most memory since it was reset, in kB."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM:"))


def _told(error: BaseException) -> dict[str, Any]:
    return {
        "error": f"{type(error).__module__}.{type(error).__qualname__}",
        "is_pyro": isinstance(error, fastpyro.errors.PyroError),
        "is_exception": isinstance(error, Exception),
        "text": str(error)[:300],
    }


def perform(command: dict[str, Any], make: Callable[[str], Any], facade: str | None, good: str) -> dict[str, Any]:
    """Do it, and call the good daemon; returns what came of both."""
    watch.allow(*map(str, command["ports"]), good.rpartition(":")[2], "clear_refs")
    fastpyro.config.PROTOCOL = command["protocol"]
    fastpyro.config.SERIALIZER = command["serializer"] or "native"
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, began = _peak(), time.monotonic()
    done: dict[str, Any] = {"error": None, "is_pyro": True, "is_exception": True, "text": ""}
    proxy = make(command["uri"])
    try:
        proxy._pyroTimeout = command["timeout"]
        if command["serializer"]:
            proxy._pyroSerializer = command["serializer"]
        ACTIONS[command["do"]](proxy, facade)
    except BaseException as error:
        done = _told(error)
    done["seconds"], done["peak"] = time.monotonic() - began, (_peak() - before) * 1024
    proxy._pyroRelease()
    fastpyro.config.PROTOCOL, fastpyro.config.SERIALIZER = 0, "serpent" if facade else "native"
    try:
        with make(good) as other:
            other._pyroTimeout = 20
            other.null()
        done["good"] = None
    except BaseException as error:
        done["good"] = _told(error)
    return done


def _commands() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--report", type=int, required=True)
    parser.add_argument("--good", required=True)
    parser.add_argument("--facade", choices=sorted(compat.FACADES))
    options = parser.parse_args()
    make: Callable[[str], Any] = fastpyro.Proxy
    if options.facade is not None:
        compat.install(options.facade)
        core = "core" if options.facade == "Pyro4" else "client"
        make = __import__(f"{options.facade}.{core}", fromlist=["Proxy"]).Proxy
    for cls in (subject_daemon.Account, subject_daemon.Rights, subject_daemon.Tripwire):
        fastpyro.register_class(cls, name=f"hostile.{cls.__name__}")
    fastpyro.asyncproxy  # noqa: B018  (its modules are imported now)
    watch.start(options.report)
    watch.arm()
    print("ready", flush=True)
    for command in _commands():
        print(json.dumps(perform(command, make, options.facade, options.good)), flush=True)


if __name__ == "__main__":
    main()
