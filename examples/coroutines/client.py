"""Waits in a hundred remote calls at once, with asyncio on this side as well. Argument: the server's uri."""

import asyncio
import sys

import fastpyro


async def wait(trigger: fastpyro.AsyncProxy) -> int:
    return int(await trigger.wait())


async def run(uri: str) -> None:
    with fastpyro.Proxy(uri) as proxy:
        trigger = fastpyro.asyncproxy(proxy)
        calls = [asyncio.ensure_future(wait(trigger)) for _ in range(100)]
        while await trigger.count() < 100:
            await asyncio.sleep(0.01)
        print("a hundred calls are waiting; answered so far:", sum(call.done() for call in calls))
        threads = await trigger.pull()
        print("answers:", set(await asyncio.gather(*calls)), "fewer than 20 threads in the server:", threads < 20)


def main() -> None:
    asyncio.run(run(sys.argv[1] if len(sys.argv) > 1 else "PYRO:example.trigger@localhost:9519"))


if __name__ == "__main__":
    main()
