"""Runs a daemon of its own, so that the server can call its object. Argument: the server's uri."""

import sys
import threading

import fastpyro


class Observer:
    """What the server calls."""

    @fastpyro.expose
    def progress(self, step: int, steps: int) -> str:
        """Take note of a step."""
        print(f"step {step} of {steps}")
        return "noted"

    @fastpyro.expose
    @fastpyro.callback
    def finished(self, remark: str) -> None:
        """Fail, to show that an error in a callback is told to the caller and logged here."""
        raise ValueError(f"did not expect {remark!r}")


def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else "PYRO:example.callback@localhost:9514"
    with fastpyro.Daemon() as daemon, fastpyro.Proxy(uri) as worker:
        observer = Observer()
        daemon.register(observer)
        threading.Thread(target=daemon.requestLoop, daemon=True).start()
        print("the worker says:", worker.work(3, observer))  # the object itself is passed; a proxy arrives
        daemon.shutdown()


if __name__ == "__main__":
    main()
