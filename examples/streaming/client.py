"""Iterates over remote generators. Argument: the server's uri."""

import itertools
import sys

import fastpyro


def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else "PYRO:example.streaming@localhost:9519"
    with fastpyro.Proxy(uri) as streamer:
        print("countdown:", list(streamer.countdown(5)))
        with streamer.fibonacci() as numbers:
            print("fibonacci:", list(itertools.islice(numbers, 12)))
        print("done")


if __name__ == "__main__":
    main()
