"""Calls that run in the background, and call chains. Argument: the server's uri."""

import sys
import time

import fastpyro


def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else "PYRO:example.async@localhost:9513"
    with fastpyro.Proxy(uri) as adder:
        background = fastpyro.asyncproxy(adder)

        before = time.perf_counter()
        results = [background.slow_add(number, 100) for number in range(5)]
        print("five calls are under way; ready already?", any(result.ready for result in results))
        print("their values:", [result.value for result in results])
        print("all together took", "about one call's time" if time.perf_counter() - before < 3 else "much too long")

        # A call chain: each function gets the value so far; remote methods are functions, too.
        chain = background.slow_add(10, 5)
        chain.then(lambda value: value * 2).then(adder.slow_add, increase=1)
        print("waiting for the chain:", chain.wait(10), "value:", chain.value)

        failing = background.divide(1, 0).iferror(lambda error: print("told by iferror:", error))
        try:
            print(failing.value)
        except ZeroDivisionError as error:
            print("raised where the value is read:", error)

        # Ordinary functions, the same way.
        future = fastpyro.Future(sum)
        future.then(lambda value: f"the sum is {value}")
        print(future([1, 2, 3]).value)
        background._pyroRelease()


if __name__ == "__main__":
    main()
