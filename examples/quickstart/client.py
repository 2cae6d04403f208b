"""Looks the greeter up by its name and calls it."""

import fastpyro


def main() -> None:
    with fastpyro.Proxy("PYRONAME:example.greeter") as greeter:
        print(greeter.hello("world"))


if __name__ == "__main__":
    main()
