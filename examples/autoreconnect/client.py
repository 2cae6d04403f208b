"""Goes on after the server was stopped and started again. Arguments: the server's uri, how many restarts to live through."""

import sys
import time

import fastpyro


def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else "PYRO:example.autoreconnect@localhost:9517"
    restarts = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    with fastpyro.Proxy(uri) as server:
        print("connected to process", server.process(), flush=True)
        while restarts > 0:
            try:
                server.process()
                time.sleep(0.1)
            except fastpyro.errors.CommunicationError as error:
                print("connection lost:", type(error).__name__, flush=True)
                server._pyroReconnect(tries=200, pause=0.1)
                print("reconnected to process", server.process(), flush=True)
                restarts -= 1


if __name__ == "__main__":
    main()
