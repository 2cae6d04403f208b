"""A server process whose methods tell what they know of their time, wait, and count. Argument: the server type."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import Any

import fastpyro
from fastpyro import current_context


@fastpyro.behavior(instance_mode="single")
@fastpyro.expose
class Timed:
    """One object for everybody."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.ended: list[Any] = []
        self.gate = threading.Event()

    def echo(self, token: Any) -> Any:
        return token

    def time_left(self) -> float | None:
        return current_context.time_left

    async def time_left_in_a_coroutine(self) -> float | None:
        await asyncio.sleep(0)
        return current_context.time_left

    def nap(self, seconds: float, token: Any = None) -> Any:
        self.begun.append(token)
        time.sleep(seconds)
        self.ended.append(token)
        return token

    def wait_at_gate(self, token: Any = None) -> Any:
        self.begun.append(token)
        self.gate.wait(20)
        self.ended.append(token)
        return token

    def open_gate(self) -> None:
        self.gate.set()

    def close_gate(self) -> None:
        self.gate.clear()

    def seen(self) -> tuple[list[Any], list[Any]]:
        return self.begun, self.ended

    def ask(self, uri: str, method: str, *args: Any) -> Any:
        with fastpyro.Proxy(uri) as other:
            return getattr(other, method)(*args)

    async def ask_in_a_coroutine(self, uri: str, method: str, *args: Any) -> Any:
        with fastpyro.Proxy(uri) as other:
            return await other._pyroAsync().__getattr__(method)(*args)

    def late_calls(self) -> int:
        return daemon.dropped_calls.late

    def cancelled_calls(self) -> int:
        return daemon.dropped_calls.cancelled

    def wait_for_cancel(self, token: Any = None, seconds: float = 20.0) -> bool:
        self.begun.append(token)
        cancelled = current_context.wait_cancelled(seconds)
        self.ended.append((token, cancelled, current_context.cancelled))
        return cancelled

    def poll_for_cancel(self, token: Any = None) -> bool:
        self.begun.append(token)
        until = time.monotonic() + 20
        while not current_context.cancelled and time.monotonic() < until:
            time.sleep(0.005)
        self.ended.append((token, current_context.cancelled))
        return current_context.cancelled

    async def stay(self, token: Any = None) -> str:
        self.begun.append(token)
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            self.ended.append((token, "cancelled"))
            raise
        return "stayed"

    async def refuse_to_end(self, token: Any = None) -> str:
        self.begun.append(token)
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            self.ended.append((token, "refused"))
        return "refused"

    async def work(self, token: Any, seconds: float) -> Any:
        await asyncio.sleep(seconds)
        return token

    @fastpyro.oneway
    def wait_unasked(self, token: Any = None) -> None:
        self.begun.append(token)
        self.ended.append((token, current_context.wait_cancelled(0.5)))

    def counters(self) -> list[int]:
        server: Any = daemon.transportServer
        places = getattr(server, "places", None)
        busy = [0, 0] if places is None else [places.busy, places.waiting]
        return [*busy, server.late_replies.under_way.total, daemon.cancelling.under_way]


fastpyro.config.SERVERTYPE = sys.argv[1]
fastpyro.config.THREADPOOL_SIZE = int(sys.argv[2]) if len(sys.argv) > 2 else 16
daemon = fastpyro.Daemon(host="127.0.0.1")
print("uri =", daemon.register(Timed(), "timed"), flush=True)
daemon.requestLoop()
