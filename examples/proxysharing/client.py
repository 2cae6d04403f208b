"""Many threads, one proxy; and many threads with a copy each. Argument: the server's uri."""

import copy
import sys
import threading
from typing import Any

import fastpyro

THREADS = 8
CALLS = 200


def run(proxies: list[Any]) -> None:
    def work(proxy: Any) -> None:
        for _ in range(CALLS):
            proxy.increment()

    threads = [threading.Thread(target=work, args=(proxy,)) for proxy in proxies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else "PYRO:example.proxysharing@localhost:9518"
    with fastpyro.Proxy(uri) as shared:
        before = shared.increment()
        run([shared] * THREADS)
        print("calls counted through one shared proxy:", shared.increment() - before - 1)

        before = shared.increment()
        copies = [copy.copy(shared) for _ in range(THREADS)]
        run(copies)
        print("calls counted through a copy for each thread:", shared.increment() - before - 1)
        for proxy in copies:
            proxy._pyroRelease()


if __name__ == "__main__":
    main()
