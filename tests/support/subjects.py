"""The objects that the tests of proxy, daemon and servers call, and a daemon process that serves them.

``python subjects.py [--servertype thread|multiplex] [--unixsocket PATH] [--port N] [--descriptors N] [--set ITEM=VALUE]…``
prints "location = …" and serves until it is stopped, or until somebody calls ``Controls.shutdown``.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import os
import resource
import threading
import time
from typing import Any

import fastpyro


class StockError(Exception):
    """Has a constructor of its own, which a copy must not need."""

    def __init__(self, item: str, *, missing: int) -> None:
        super().__init__(f"{missing} {item} missing")
        self.item = item
        self.missing = missing


@fastpyro.expose
class Calculator:
    """Plain methods."""

    limit = 5

    def __init__(self) -> None:
        self._level = 1
        self.notes: list[Any] = []
        self.started = threading.Event()
        self.resume = threading.Event()

    def add(self, left: int, right: int = 10) -> int:
        """Return the sum of two numbers."""
        return left + right

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    def divide(self, left: float, right: float) -> float:
        return left / right

    def stock(self, item: str, missing: int) -> None:
        raise StockError(item, missing=missing)

    def exit(self) -> None:
        raise SystemExit("not for the server")

    def unserializable(self) -> Any:
        return threading.Lock()

    def communication_failure(self) -> None:
        raise fastpyro.errors.CommunicationError("the server's own peer is away")

    def sleep(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    def wait_for_resume(self, seconds: float) -> bool:
        self.started.set()
        return self.resume.wait(seconds)

    def wait_until_started(self, seconds: float) -> bool:
        return self.started.wait(seconds)

    def let_resume(self) -> None:
        self.resume.set()

    @fastpyro.oneway
    def note(self, value: Any) -> None:
        self.notes.append(value)

    @fastpyro.oneway
    def note_when_resumed(self, value: Any) -> None:
        self.started.set()
        self.resume.wait(10)
        self.notes.append(value)

    def note_blocking(self, value: Any) -> int:
        self.notes.append(value)
        return len(self.notes)

    def all_notes(self) -> list[Any]:
        return list(self.notes)

    def numbers(self, count: int) -> Any:
        """Return a stream of numbers."""
        yield from range(count)

    def failing_numbers(self) -> Any:
        yield 1
        raise ValueError("no second number")

    def echo_times(self, value: bytes, times: int) -> bytes:
        return value * times

    def size(self, value: bytes) -> int:
        return len(value)

    def cpu_seconds(self) -> float:
        return time.process_time()

    def thread_name(self) -> str:
        return threading.current_thread().name

    def thread_count(self) -> int:
        return threading.active_count()

    def _private(self) -> str:
        return "secret"

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> int:
        return [10, 20, 30][index]

    @property
    def level(self) -> int:
        return self._level

    @level.setter
    def level(self, value: int) -> None:
        self._level = value

    @property
    def read_only(self) -> str:
        return "fixed"

    def context(self) -> dict[str, Any]:
        context = fastpyro.current_context
        context.response_annotations = {"RESP": b"from server"}
        correlation_id = context.correlation_id
        return {
            "annotations": {key: bytes(value) for key, value in context.annotations.items()},
            "correlation_id": str(correlation_id) if correlation_id else None,
            "client": str(context.client_sock_addr),
        }

    def call_back(self, callback: Any, *args: Any) -> Any:
        return callback.called(*args)

    def make_child(self) -> Any:
        child = Child()
        self._pyroDaemon.register(child)  # type: ignore[attr-defined]
        return child


class Half:
    """Exposes one method of two."""

    @fastpyro.expose
    def shown(self) -> str:
        return "shown"

    def hidden(self) -> str:
        return "hidden"

    @property
    def hidden_attribute(self) -> str:
        return "hidden"


@fastpyro.expose
class Child:
    def name(self) -> str:
        return "child"


class Counting:
    """Counts its instances' calls; falsy on purpose while it has none."""

    def __init__(self) -> None:
        self.calls = 0

    def __len__(self) -> int:
        return 0

    @fastpyro.expose
    def count(self) -> int:
        self.calls += 1
        return self.calls


@fastpyro.behavior(instance_mode="session")
class SessionCounting(Counting):
    pass


@fastpyro.behavior(instance_mode="single")
class SingleCounting(Counting):
    pass


@fastpyro.behavior(instance_mode="percall")
class PercallCounting(Counting):
    pass


class Ending:
    """A resource of a client: when that goes, the task is cancelled."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task

    def close(self) -> None:
        self.task.get_loop().call_soon_threadsafe(self.task.cancel)


@fastpyro.expose
class Waiting:
    """Coroutines as methods; instances for sessions count how many of their calls are inside at a time."""

    def __init__(self) -> None:
        self.inside = self.most_inside = 0
        self.order: list[Any] = []
        self.gate = asyncio.Event()

    async def add(self, left: int, right: int = 10) -> int:
        await asyncio.sleep(0)
        return left + right

    async def thread_name(self) -> str:
        return threading.current_thread().name

    async def pass_through(self, value: Any) -> Any:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        for _ in range(3):
            await asyncio.sleep(0)
        self.order.append(value)
        self.inside -= 1
        return value

    async def seen(self) -> tuple[int, list[Any]]:
        return self.most_inside, self.order

    async def meet(self, count: int) -> int:
        """Return when so many callers are inside."""
        self.inside += 1
        if self.inside == count:
            self.gate.set()
        await asyncio.wait_for(self.gate.wait(), 20)
        return self.inside

    async def stay(self) -> bool:
        return await self.gate.wait()

    async def open_gate(self) -> None:
        self.gate.set()

    async def stay_for_the_client(self) -> bool:
        task = asyncio.current_task()
        assert task is not None
        ending = Ending(task)
        fastpyro.current_context.track_resource(ending)
        return await self.gate.wait()

    async def fail(self, text: str) -> None:
        await asyncio.sleep(0)
        raise ValueError(text)

    async def exit(self) -> None:
        raise SystemExit("not for the server")

    async def give_up(self) -> None:
        raise asyncio.CancelledError

    async def unserializable(self) -> Any:
        return threading.Lock()

    @fastpyro.oneway
    async def note(self, value: Any) -> None:
        await self.pass_through(value)

    async def numbers(self, count: int) -> Any:
        for number in range(count):
            await asyncio.sleep(0)
            yield number

    async def failing_numbers(self) -> Any:
        yield 1
        raise ValueError("no second number")

    async def size(self, value: str) -> int:
        return len(value)

    async def echo_times(self, value: str, times: int) -> str:
        return value * times

    async def context(self, others: int) -> tuple[str, dict[str, Any]]:
        """Return who calls, before and after others have called, and send annotations with the reply."""
        context = fastpyro.current_context
        before = str(context.client_sock_addr), {key: bytes(value) for key, value in context.annotations.items()}
        await self.meet(others)
        assert before == (
            str(context.client_sock_addr),
            {key: bytes(item) for key, item in context.annotations.items()},
        )
        context.response_annotations = {"RESP": before[0].encode()}
        return before

    async def shutdown(self) -> str:
        await asyncio.sleep(0)
        self._pyroDaemon.shutdown()  # type: ignore[attr-defined]
        return "shutting down"


@fastpyro.behavior(instance_mode="session")
class SessionWaiting(Waiting):
    pass


class Controls:
    """What a test needs of the server process itself."""

    def __init__(self, daemon: fastpyro.Daemon) -> None:
        self.daemon = daemon

    @fastpyro.expose
    def shutdown(self) -> str:
        self.daemon.shutdown()
        return "shutting down"

    @fastpyro.expose
    def shutdown_saying(self, size: int) -> str:
        self.daemon.shutdown()
        return "x" * size

    @fastpyro.expose
    def unsent(self) -> int:
        """Return of how many clients replies wait."""
        return len(self.daemon.transportServer.unsent._waiting)

    @fastpyro.expose
    def received(self) -> tuple[int, int, int]:
        """Return what unfinished messages hold in bytes, how many there are, and how many clients wait for room."""
        unfinished = self.daemon.transportServer.unfinished
        return unfinished.intake.total, unfinished.intake.messages, unfinished.waiting

    @fastpyro.expose
    def die(self) -> None:
        os._exit(1)

    @fastpyro.expose
    def connections(self) -> int:
        return len(self.daemon.transportServer.connections)

    @fastpyro.expose
    def thread_count(self) -> int:
        return threading.active_count()

    @fastpyro.expose
    def coroutines_under_way(self) -> int:
        return self.daemon.transportServer.late_replies.under_way.total  # type: ignore[no-any-return]

    @fastpyro.expose
    def descriptors(self) -> int:
        return len(os.listdir("/proc/self/fd"))


class WatchedDaemon(fastpyro.Daemon):
    """Refuses clients whose handshake is "refuse me"; counts the ones that went."""

    gone = 0

    def validateHandshake(self, conn: Any, data: Any) -> Any:
        if data == "refuse me":
            raise ValueError("you asked for it")
        return {"you said": data}

    def clientDisconnect(self, conn: Any) -> None:
        type(self).gone += 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--servertype", default="thread")
    parser.add_argument("--unixsocket")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--descriptors", type=int)
    options = parser.parse_args()
    if options.descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (options.descriptors, options.descriptors))
    fastpyro.config.SERVERTYPE = options.servertype
    for setting in options.set:
        name, _, value = setting.partition("=")
        setattr(fastpyro.config, name, ast.literal_eval(value))
    with WatchedDaemon(host="127.0.0.1", port=options.port, unixsocket=options.unixsocket) as daemon:
        daemon.register(Calculator(), "calculator")
        daemon.register(Calculator, "calculator.class")
        daemon.register(Half(), "half")
        daemon.register(SessionCounting, "session")
        daemon.register(SingleCounting, "single")
        daemon.register(PercallCounting, "percall")
        daemon.register(Waiting(), "waiting")
        daemon.register(SessionWaiting, "waiting.session")
        daemon.register(Controls(daemon), "controls")
        print(f"location = {daemon.locationStr}", flush=True)
        daemon.requestLoop()
    print("stopped", flush=True)


if __name__ == "__main__":
    main()
