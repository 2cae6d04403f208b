"""Starts the job, goes on at once, and asks later. Argument: the server's uri."""

import sys
import time

import fastpyro


def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else "PYRO:example.oneway@localhost:9511"
    with fastpyro.Proxy(uri) as worker:
        before = time.perf_counter()
        answer = worker.work(1.0)
        print(f"work() returned {answer} after {'no time' if time.perf_counter() - before < 0.5 else 'a long time'}")
        print("done already?", worker.is_done())
        print("done in the end?", worker.wait(10))
        # A client may also decide by itself not to wait for a method.
        worker._pyroOneway.add("is_done")
        print("is_done() as a oneway call returns", worker.is_done())


if __name__ == "__main__":
    main()
