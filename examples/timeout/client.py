"""Does not wait for ever. Argument: the server's uri."""

import sys

import fastpyro


def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else "PYRO:example.timeout@localhost:9516"
    with fastpyro.Proxy(uri) as sleeper:
        sleeper._pyroTimeout = 0.5  # for this proxy
        print(sleeper.sleep(0.1))
        try:
            sleeper.sleep(1.5)
        except fastpyro.errors.TimeoutError as error:
            print("timed out:", error)
        sleeper._pyroTimeout = None  # as long as it takes
        print(sleeper.sleep(0.7))

    fastpyro.config.COMMTIMEOUT = 0.5  # for proxies that are made from now on
    with fastpyro.Proxy(uri) as sleeper:
        try:
            sleeper.sleep(1.5)
        except TimeoutError as error:  # the builtin class fits as well
            print("timed out again:", error)
        print(sleeper.sleep(0.1))


if __name__ == "__main__":
    main()
