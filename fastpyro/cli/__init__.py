"""The command `fastpyro`: one module for each subcommand, imported when it is used."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from fastpyro._version import __version__

__all__ = ["main"]

COMMANDS = {
    "ns": "run a name server",
    "nsc": "ask a name server: ping, list, lookup, register, remove, setmeta, …",
    "call": "call a method of a remote object",
    "echo": "run an echo server",
    "config": "print the configuration",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (None: the process's own). Returns the exit status: 0, 1 for a failure.

    Raises SystemExit with status 2 for arguments that make no sense.
    """
    parser = argparse.ArgumentParser(prog="fastpyro", description="Remote Python objects, fast.")
    parser.add_argument("--version", action="version", version=f"fastpyro {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in arguments if word in COMMANDS), None)
    for name, meaning in COMMANDS.items():
        subparser = commands.add_parser(name, help=meaning, description=meaning)
        if name == chosen:
            module = importlib.import_module(f"fastpyro.cli.{name}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    from fastpyro.errors import PyroError

    try:
        return int(options.run(options) or 0)
    except (PyroError, OSError, ValueError) as error:
        print(f"fastpyro {options.command}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
