"""Tracebacks as text: what a server sends with an error, and what a client shows of it.

Knows exceptions and nothing of fastpyro; the standard library's modules are imported when there is an error to show.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

__all__ = ["excepthook", "format_traceback", "get_pyro_traceback"]

LONGEST_VALUE = 1000
"""Characters of a local variable's value in a detailed traceback."""


def format_traceback(
    ex_type: type[BaseException] | None = None,
    ex_value: BaseException | None = None,
    ex_tb: TracebackType | None = None,
    detailed: bool = False,
) -> list[str]:
    """Return an exception's traceback as lines of text, each with its line ends.

    Arguments: the exception, as ``sys.exc_info()`` gives it (its default); ``detailed``: with the local variables of
    each frame.
    """
    import traceback

    if ex_value is None:
        ex_type, ex_value, ex_tb = sys.exc_info()
    if detailed and ex_value is not None:
        return _detailed(ex_value, ex_tb)
    return traceback.format_exception(ex_type, ex_value, ex_tb)


def _detailed(error: BaseException, trace: TracebackType | None) -> list[str]:
    import linecache

    lines = [
        "-" * 52 + "\n",
        f"EXCEPTION {type(error)}: {error}\n",
        " Extended stacktrace follows (most recent call last)\n",
    ]
    first = True
    while trace is not None:
        frame, code = trace.tb_frame, trace.tb_frame.f_code
        lines.append("-" * 52 + "\n")
        lines.append(f'File "{code.co_filename}", line {trace.tb_lineno}, in {code.co_name}\n')
        lines.append("Source code:\n    " + linecache.getline(code.co_filename, trace.tb_lineno).strip() + "\n")
        if not first:  # the first frame is the server's own
            lines.append("Local values:\n")
            lines.extend(f"    {name} = {_shown(value)}\n" for name, value in sorted(frame.f_locals.items()))
        first = False
        trace = trace.tb_next
    lines.append("-" * 52 + "\n")
    lines.append(f"EXCEPTION {type(error)}: {error}\n")
    return lines


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:
        return f"<no repr: {type(error).__name__}>"
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


def get_pyro_traceback(
    ex_type: Any = None, ex_value: BaseException | None = None, ex_tb: TracebackType | None = None
) -> list[str]:
    """Return the lines of a traceback, with the remote traceback of an error that came from another process.

    Arguments: none, for the exception that is being handled; an exception; or the three parts of ``sys.exc_info()``.
    Raises TypeError for a single argument that is no exception.
    """
    if isinstance(ex_type, BaseException) and ex_value is None:
        ex_type, ex_value, ex_tb = type(ex_type), ex_type, ex_type.__traceback__
    elif ex_type is not None and ex_value is None and ex_tb is None:
        raise TypeError(f"expected an exception, or the three parts of sys.exc_info(), not {ex_type!r}")
    elif ex_value is None:
        ex_type, ex_value, ex_tb = sys.exc_info()
    lines = format_traceback(ex_type, ex_value, ex_tb)
    error, seen = ex_value, set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        remote = getattr(error, "_pyroTraceback", None)
        if remote:
            lines += _remote_part(remote)
        error = error.__cause__ or error.__context__
    return lines


def _remote_part(remote: Any) -> list[str]:
    text = remote if isinstance(remote, str) else "".join(map(str, remote))
    lines = [" +--- This exception occurred remotely (Pyro) - Remote traceback:\n"]
    lines += [f" | {line}\n" for line in text.rstrip("\n").split("\n")]
    lines.append(" +--- End of remote traceback\n")
    return lines


def excepthook(ex_type: type[BaseException], ex_value: BaseException, ex_tb: TracebackType | None) -> None:
    """Print an uncaught exception with its remote traceback: ``sys.excepthook = fastpyro.errors.excepthook``."""
    sys.stderr.write("".join(get_pyro_traceback(ex_type, ex_value, ex_tb)))
