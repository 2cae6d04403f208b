"""The command ``fastpyro``: finds the module of the command that is asked for, runs it, and reports errors in one line.

A command's module has ``add_arguments(parser)`` and ``run(options)``, which returns the exit code. Modules import what
they need inside ``run``, so that a command starts without the others' baggage.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from fastpyro._foreign_text import on_one_line
from fastpyro._version import __version__

__all__ = ["main"]

COMMANDS = {
    "ns": "run a name server",
    "nsc": "ask a name server: list, look up, register and remove names",
    "call": "call a method of a remote object",
    "echo": "run a server that echoes, for tests",
    "config": "print the configuration",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Arguments: ``argv``, the arguments without the program's name (None: those of this process).
    Returns the exit code: 0, 1 after an error, 130 after Ctrl-C. Raises SystemExit for --help, --version and wrong usage.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in COMMANDS:
        return _top_level(arguments)
    from importlib import import_module

    name = arguments[0]
    command = import_module(f"fastpyro.cli.{name}")
    parser = argparse.ArgumentParser(prog=f"fastpyro {name}", description=command.__doc__, epilog=command.EPILOG)
    command.add_arguments(parser)
    options = parser.parse_intermixed_args(arguments[1:])
    verbose = getattr(options, "verbose", False)
    try:
        code = int(command.run(options))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        _report(error, verbose)
        return 1


def _top_level(arguments: list[str]) -> int:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:{width}}  {meaning}" for name, meaning in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="fastpyro",
        description="Remote Python objects: the command line of fastpyro.",
        epilog=f"commands:\n{listing}\n\n`fastpyro COMMAND --help` explains a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastpyro {__version__}")
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", help="what to do, see below")
    parser.parse_args(arguments[:1])
    raise AssertionError("unreachable")


def _report(error: Exception, verbose: bool) -> None:
    if verbose:
        from fastpyro.errors import get_pyro_traceback

        print("".join(get_pyro_traceback(type(error), error, error.__traceback__)), file=sys.stderr)
    text = " ".join(str(error).split())
    print(on_one_line(f"Error: {type(error).__name__} - {text}"), file=sys.stderr)
