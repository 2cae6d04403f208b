"""Serves methods that are coroutines: many clients wait in them, and no thread does. Argument: a port (9519)."""

import asyncio
import sys
import threading

import fastpyro


@fastpyro.expose
class Trigger:
    """Lets everybody go on at once, as a detector's trigger does."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.waiting = 0

    async def wait(self) -> int:
        """Return when the trigger is pulled; how many were waiting."""
        self.waiting += 1
        await self.event.wait()
        return self.waiting

    async def count(self) -> int:
        """Return how many are waiting."""
        return self.waiting

    async def pull(self) -> int:
        """Let all go on. Returns how many threads the server has."""
        self.event.set()
        return threading.active_count()


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9519
    with fastpyro.Daemon(port=port) as daemon:
        print("uri =", daemon.register(Trigger(), "example.trigger"), flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    main()
