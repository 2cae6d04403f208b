"""Call a method of a remote object and print its result."""

from __future__ import annotations

import argparse
import ast
import warnings
from collections.abc import Iterable
from typing import Any

from fastpyro._foreign_text import on_lines

__all__ = ["EPILOG", "add_arguments", "parse_arguments", "parse_value", "run"]

EPILOG = (
    "Arguments are Python literals (5, 1.5, [1, 2], {'a': True}, None, 'quoted text'); anything else is taken as text. "
    "KEY=VALUE is a keyword argument. Items of a stream are printed one a line; control characters are escaped. "
    "Write -- before arguments that begin with a dash and are no numbers."
)

LONGEST_LITERAL = 100_000
"""Characters; a longer argument is text."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("--oneway", action="store_true", help="do not wait for the result")
    parser.add_argument("--timeout", type=_seconds, default=None, help="seconds that the call may take")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the remote traceback of an error")
    parser.add_argument("uri", metavar="URI", help="PYRO:object@host:port, PYRONAME:name or PYROMETA:tag")
    parser.add_argument("method", metavar="METHOD", help="the method, or an attribute to read")
    parser.add_argument("args", nargs="*", metavar="ARG", help="arguments, see below")


def run(options: argparse.Namespace) -> int:
    """Make the call. Raises whatever the call raises."""
    from fastpyro.client.proxy import Proxy
    from fastpyro.config import config

    args, kwargs = parse_arguments(options.args)
    if options.timeout is not None:
        config.COMMTIMEOUT = options.timeout  # holds for the name server, too
    with Proxy(options.uri) as proxy:
        if options.oneway:
            proxy._pyroBind()
            proxy._pyroOneway.add(options.method)
        member = getattr(proxy, options.method)
        if options.method in proxy._pyroAttrs:
            if options.args:
                raise TypeError(f"{options.method} is an attribute, not a method: it takes no arguments")
            _print(member)
            return 0
        result = member(*args, **kwargs)
        if not options.oneway:
            _print(result)
    return 0


def parse_arguments(texts: Iterable[str]) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the keyword arguments that the texts mean. Raises ValueError for a repeated keyword."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if equals and key.isidentifier() and not value.startswith("="):
            if key in kwargs:
                raise ValueError(f"the keyword argument {key} is given twice")
            kwargs[key] = parse_value(value)
        else:
            args.append(parse_value(text))
    return args, kwargs


def parse_value(text: str) -> Any:
    """Return the value of a Python literal, or the text itself when it is none."""
    if len(text) > LONGEST_LITERAL:
        return text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd escapes and such in what is text anyway
            return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(f"expected seconds, more than 0, not {text}")
    return seconds


def _print(result: Any) -> None:
    if hasattr(result, "__next__"):
        for item in result:
            _print(item)
    else:
        print(on_lines(result if type(result) is str else repr(result)))
