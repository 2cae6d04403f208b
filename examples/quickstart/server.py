"""Serves a greeter under a name. Start a name server first: fastpyro ns"""

import fastpyro


@fastpyro.expose
class Greeter:
    """Greets people."""

    def hello(self, name: str) -> str:
        """Return a greeting for somebody."""
        return f"Hello, {name}! Here is your fortune: patience."


def main() -> None:
    with fastpyro.Daemon() as daemon:
        uri = daemon.register(Greeter())
        with fastpyro.locate_ns() as nameserver:
            nameserver.register("example.greeter", uri)
        print("uri =", uri, flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    main()
