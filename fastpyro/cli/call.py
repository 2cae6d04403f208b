"""``fastpyro call URI method args…``: one call from the command line."""

from __future__ import annotations

import argparse
import ast
from typing import Any

__all__ = ["add_arguments", "parse_argument", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uri", help="PYRO:…, PYRONAME:… or PYROMETA:…")
    parser.add_argument("method", help="name of a method or attribute")
    parser.add_argument(
        "arguments",
        nargs="*",
        help="Python literals (42, 1.5, '[1, 2]', None); other words are text; name=value for keywords",
    )
    parser.add_argument("--oneway", action="store_true", help="do not wait for a result")
    parser.add_argument("--timeout", type=float, default=0.0, help="seconds to wait for an answer")


def parse_argument(text: str) -> Any:
    """Return the Python literal that a text is, or the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def run(options: argparse.Namespace) -> int:
    import sys

    from fastpyro.errors import get_pyro_traceback
    from fastpyro.proxy import Proxy

    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in options.arguments:
        name, sign, value = text.partition("=")
        if sign and name.isidentifier():
            kwargs[name] = parse_argument(value)
        else:
            args.append(parse_argument(text))
    with Proxy(options.uri) as proxy:
        proxy._pyroTimeout = options.timeout
        proxy._pyroBind()
        if options.oneway:
            proxy._pyroOneway.add(options.method)
        try:
            result = getattr(proxy, options.method)
            if options.method in proxy._pyroMethods or options.oneway:
                result = result(*args, **kwargs)
        except Exception as error:
            if not getattr(error, "_pyroTraceback", None):
                raise
            print("".join(get_pyro_traceback(error)), file=sys.stderr, end="")
            return 1
        _show(result)
    return 0


def _show(result: Any) -> None:
    if hasattr(type(result), "__next__"):  # a stream
        for item in result:
            print(repr(item))
    elif result is not None:
        print(repr(result))
