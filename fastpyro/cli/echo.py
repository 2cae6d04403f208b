"""``fastpyro echo``: run an echo server until it is stopped."""

from __future__ import annotations

import argparse

from fastpyro.cli.signals import terminate_like_interrupt

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-H", "--host", help="address to listen on")
    parser.add_argument("-p", "--port", type=int, default=0, help="port to listen on; 0: any free one")
    parser.add_argument("-u", "--unixsocket", help="path of a Unix socket to listen on instead")
    parser.add_argument("-n", "--naming", action="store_true", help="register the object in the name server")
    parser.add_argument("-N", "--nameserver", action="store_true", help="run a name server in the same process, too")
    parser.add_argument("-v", "--verbose", action="store_true", help="print what arrives")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing")


def run(options: argparse.Namespace) -> int:
    import threading

    from fastpyro.echo import ECHO_NAME, start_echo

    terminate_like_interrupt()
    name_daemon = None
    if options.nameserver:
        from fastpyro.naming import start_ns

        name_uri, name_daemon, _ = start_ns(options.host)
        threading.Thread(target=name_daemon.requestLoop, name="name server", daemon=True).start()
        if not options.quiet:
            print(f"name server uri = {name_uri}")
    daemon, _, uri = start_echo(options.host, options.port, options.unixsocket, options.verbose)
    try:
        if options.naming or options.nameserver:
            from fastpyro.locate import locate_ns

            with locate_ns() as nameserver:
                nameserver.register(ECHO_NAME, uri)
        if not options.quiet:
            print(f"uri = {uri}", flush=True)
        daemon.requestLoop()
    finally:
        daemon.close()
        if name_daemon is not None:
            name_daemon.close()
    return 0
