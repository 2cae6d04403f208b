"""The daemon that is attacked, in a process of its own: ``python subject_daemon.py --report FD [options]``.

Prints "location = …" and serves until it is killed; what `watch` sees goes to the descriptor.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import contextlib
import dataclasses
import enum
import logging
import os
import resource
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hostile import watch
else:  # run as a program, with its own folder on the path
    import watch

import fastpyro


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Account:
    owner: str
    balance: int = 0

    def is_admin(self) -> bool:
        return False


class Litter:
    """Garbage whose destructor calls the daemon that it was made in."""

    def __init__(self, uri: fastpyro.URI) -> None:
        self.uri = uri
        self.itself = self

    def __del__(self) -> None:
        with contextlib.suppress(fastpyro.errors.PyroError), fastpyro.Proxy(self.uri) as proxy:
            proxy._pyroTimeout = 10
            proxy.null()


class Tripwire:
    """Registered by name; counts as code that ran when anything touches it."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def _touched(self, *_: Any) -> Any:
        sys.audit(watch.CODE_RAN, "tripwire")
        raise RuntimeError("touched")

    __iter__ = __len__ = __getitem__ = __eq__ = __hash__ = __str__ = __repr__ = __format__ = _touched
    __bool__ = __index__ = __int__ = __float__ = __contains__ = __call__ = __lt__ = __add__ = _touched


DAEMONS: list[fastpyro.Daemon] = []
"""That of this process, and the one that it is combined with."""


@fastpyro.expose
class Subject:
    """What a daemon may be asked for."""

    _secret = "secret"

    def null(self) -> None:
        return None

    def echo(self, *values: Any, **more: Any) -> Any:
        return values[0] if values else more

    def size(self, value: Any) -> int:
        return len(value)

    def times(self, value: bytes, count: int) -> bytes:
        return value * count

    def slow(self, seconds: float) -> float:
        time.sleep(min(seconds, 30.0))
        return seconds

    async def wait(self, seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    async def leave(self) -> None:
        raise GeneratorExit

    def exit(self) -> None:
        sys.exit(3)

    def litter(self, count: int) -> None:
        for _ in range(count):
            Litter(DAEMONS[0].uriFor("subject"))

    def fork(self, how: str) -> int:
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with contextlib.suppress(fastpyro.errors.PyroError):
            if how == "exit":
                sys.exit(7)
            if how == "close":
                DAEMONS[0].close()
            if how == "shutdown":
                DAEMONS[0].shutdown()
            if how == "serve":
                DAEMONS[0].requestLoop()
        os._exit(7)

    def close_combined(self) -> None:
        DAEMONS[1].close()

    def deafen(self) -> None:
        DAEMONS[0].sock.close()

    @fastpyro.oneway
    def note(self, *values: Any) -> None:
        time.sleep(0.01)

    def numbers(self, count: int) -> Iterator[int]:
        yield from range(count)

    def big_items(self, count: int, size: int) -> Iterator[bytes]:
        for _ in range(count):
            yield bytes(size)

    def waiting_stream(self) -> Iterator[int]:
        time.sleep(30)
        yield 1

    def call_back(self, callback: Any) -> Any:
        return callback.called()

    def is_admin(self, account: Any) -> bool:
        return type(account) is Account and account.is_admin()

    def kind_of(self, value: Any) -> str:
        return type(value).__name__

    def cpu_seconds(self) -> float:
        return time.process_time()

    @property
    def level(self) -> int:
        return 7

    def __private(self) -> str:
        return "secret"

    def _hidden(self) -> str:
        return "secret"


@fastpyro.behavior(instance_mode="session")
@fastpyro.expose
class Session:
    def null(self) -> None:
        return None

    def slow(self, seconds: float) -> float:
        time.sleep(min(seconds, 30.0))
        return seconds


class SubjectDaemon(fastpyro.Daemon):
    """Keeps what clients gave in the handshake, and answers it; has a key when asked to."""

    def validateHandshake(self, conn: Any, data: Any) -> Any:
        return data if isinstance(data, str) else "hello"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--report", type=int, required=True)
    parser.add_argument("--servertype", default="thread")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--descriptors", type=int)
    parser.add_argument("--address-space", type=int)
    parser.add_argument("--key")
    parser.add_argument("--unixsocket")
    parser.add_argument("--allow", action="append", default=[])
    parser.add_argument("--combined", action="store_true")
    parser.add_argument("--logging", action="store_true")
    parser.add_argument("--stack", type=int)
    return parser.parse_args()


def main() -> None:
    options = _arguments()
    watch.start(options.report)
    if options.logging:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    for kind, value in (
        (resource.RLIMIT_NOFILE, options.descriptors),
        (resource.RLIMIT_AS, options.address_space),
        (resource.RLIMIT_STACK, options.stack),
    ):
        if value:
            resource.setrlimit(kind, (value, value))
    fastpyro.config.SERVERTYPE = options.servertype
    for setting in options.set:
        name, _, value = setting.partition("=")
        setattr(fastpyro.config, name, ast.literal_eval(value))
    fastpyro.register_class(Account, name="hostile.Account")
    fastpyro.register_class(Rights, name="hostile.Rights")
    fastpyro.register_class(Tripwire, name="hostile.Tripwire")
    with SubjectDaemon(host="127.0.0.1", unixsocket=options.unixsocket) as daemon:
        if options.key is not None:
            daemon._pyroHmacKey = options.key.encode()
        daemon.register(Subject(), "subject")
        daemon.register(Session, "session")
        daemon.register(Account("bank"), "account")
        DAEMONS.append(daemon)
        if options.combined:
            DAEMONS.append(SubjectDaemon(host="127.0.0.1"))
            DAEMONS[1].register(Subject(), "subject")
            daemon.combine(DAEMONS[1])
            print(f"other = {DAEMONS[1].locationStr}", flush=True)
        print(f"location = {daemon.locationStr}", flush=True)
        watch.arm(*options.allow)
        daemon.requestLoop()
    print("loop ended", flush=True)
    os._exit(9)


if __name__ == "__main__":
    main()
