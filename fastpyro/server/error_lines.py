"""The traceback that is sent with an error: the whole one where users' code has run, and else only what the errors say.

Before any code of a user has run there is nothing to see in a traceback, but whoever sends nonsense would have it formatted
for each call, which costs as much as a hundred calls. What he sent is not sent back to him either: texts are cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from fastpyro.config import config
from fastpyro.tracebacks import format_traceback

__all__ = ["lines_of"]

OWN_MODULES = (
    "fastpyro.protocol.",
    "fastpyro.serializers.",
    "fastpyro.server.",
    "fastpyro.transport.",
    "fastpyro.values.",
    "json.",
)
"""How the names of the modules begin that a request goes through before and after users' code."""

LONGEST_TEXT = 10_000
"""Characters of what such an error says: Python's own may repeat a name that the caller chose."""

MOST_CAUSES = 5


def lines_of(error: BaseException) -> list[str]:
    """Return the traceback that is sent with an error, as pieces of text that end with line ends."""
    chain = [error] if error.__cause__ is error.__context__ is None else list(_chain_of(error))
    detailed: bool = config.DETAILED_TRACEBACK
    for one in chain:
        if detailed or _has_others(one.__traceback__):
            return format_traceback(type(error), error, error.__traceback__, detailed=detailed)
    return ["Traceback (most recent call last):\n", *[f"{_name_of(one)}: {_cut(one)}\n" for one in reversed(chain)]]


def _chain_of(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(MOST_CAUSES):
        if link is None:
            return
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _has_others(traceback: TracebackType | None) -> bool:
    while traceback is not None:
        name = traceback.tb_frame.f_globals.get("__name__")
        if type(name) is not str or not name.startswith(OWN_MODULES):
            return True
        traceback = traceback.tb_next
    return False


def _name_of(error: BaseException) -> str:
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _cut(error: BaseException) -> BaseException:
    args = error.args
    for index, one in enumerate(args):
        if type(one) is str and len(one) > LONGEST_TEXT:
            cut = f"{one[:LONGEST_TEXT]}… of {len(one):,} characters"
            error.args = (*error.args[:index], cut, *args[index + 1 :])
    return error
