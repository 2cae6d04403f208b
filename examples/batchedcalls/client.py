"""Many calls in one message. Argument: the server's uri."""

import sys
import time

import fastpyro

CALLS = 10_000


def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else "PYRO:example.batchedcalls@localhost:9512"
    with fastpyro.Proxy(uri) as calculator:
        before = time.perf_counter()
        for number in range(CALLS):
            calculator.add(number, number)
        single = time.perf_counter() - before

        before = time.perf_counter()
        batch = fastpyro.batch(calculator)
        for number in range(CALLS):
            batch.add(number, number)
        results = list(batch())
        together = time.perf_counter() - before
        print(f"{CALLS:,} calls one by one: {single:.2f} s, in a batch: {together:.2f} s")
        print("the last result is", results[-1])

        batch.add(1, 2)
        batch.divide(1, 0)
        batch.add(3, 4)
        try:
            for result in batch():
                print("a result:", result)
        except ZeroDivisionError as error:
            print("the batch ended with:", error)

        batch.add(5, 6)
        batch.add(7, 8)
        print("in the background:", batch(asynchronous=True).then(sum).value)


if __name__ == "__main__":
    main()
