"""Tracebacks as text: what a server sends with an error, and how a client shows it.

Knows exceptions and nothing of fastpyro; the standard library's modules are imported when there is an error to show.
What is shown may have been written by others: whatever could steer a terminal is escaped, and secrets are hidden.
An error that came from another process carries the traceback of that process as ``_pyroTraceback``, and once more as its
last note, so that Python itself prints it, whoever catches or logs the error. Whatever is printed here has it once.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType

from fastpyro._foreign_text import MASKED, escapes, is_key_name, is_secret_name, on_lines, on_one_line
from fastpyro._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traceback import TracebackException
    from typing import Any

__all__ = [
    "attach_remote_traceback",
    "excepthook",
    "format_traceback",
    "get_pyro_traceback",
    "is_remote_note",
    "remote_note",
    "say_as_peer",
]

REMOTE_HEAD = " +--- This error was raised in another process. Remote traceback:"
"""How the note begins that shows a remote traceback; the facades have the words of their peers (`say_as_peer`)."""

REMOTE_END = " +--- End of remote traceback"

LONGEST_VALUE = 1000
"""Characters of a local variable's value in a detailed traceback."""

LONGEST_CHAIN = 20
"""Causes that a detailed traceback follows."""

MOST_ITEMS = 50
"""Items of a container that a detailed traceback shows."""

SHORTEST_KEY = 6
"""Characters of a key that is hidden wherever it stands; a shorter one is hidden where its name says what it is."""

HANDS_SHAKING = frozenset({"validateHandshake"})
"""Functions whose local variables are what a client proves itself with."""

_OWN_PACKAGE = __name__.partition(".")[0] + "."


def attach_remote_traceback(error: BaseException, lines: list[str]) -> None:
    """Give an exception the traceback that it had in another process."""
    attributes = error.__dict__  # the class may refuse to have attributes set the ordinary way
    attributes["_pyroTraceback"] = lines
    if lines:
        attributes["__notes__"] = [*attributes.get("__notes__", ()), remote_note(lines)]


def remote_note(lines: Iterable[str]) -> str:
    """Return the note of an exception that shows its remote traceback."""
    text = on_lines(escapes().joined_lines(lines)).rstrip("\n").replace("\n", "\n | ")
    return f"{_heads[0]}\n | {text}\n{REMOTE_END}"


def say_as_peer(head: str) -> None:
    """Let remote tracebacks begin with a line that the programs of a peer know."""
    _heads.insert(0, head)


_heads = [REMOTE_HEAD]
"""The first one is written, all are known."""


def is_remote_note(note: object) -> bool:
    """Return whether a note is a remote traceback that was attached here."""
    return isinstance(note, str) and note.startswith(tuple(_heads))


def format_traceback(
    ex_type: type[BaseException] | None = None,
    ex_value: BaseException | None = None,
    ex_tb: TracebackType | None = None,
    detailed: bool = False,
    messages_on_one_line: bool = False,
) -> list[str]:
    """Return an exception's traceback, with its causes, as pieces of text that end with line ends. Never raises.

    Arguments: the exception, as ``sys.exc_info()`` gives it (its default); ``detailed``: with the local variables of
    each frame, except those of the first, which belongs to the server, those of this package and those whose names tell
    that they are secrets; ``messages_on_one_line``, for logs: what an error says cannot look like another record.
    """
    if ex_type is None and ex_value is None:
        ex_type, ex_value, ex_tb = sys.exc_info()
    if ex_value is None:
        return []
    try:
        if detailed:
            return list(map(on_lines, _without_keys(list(_detailed(ex_value, ex_tb)), _keys_in(ex_value, ex_tb))))
        return list(map(on_lines, _formatted(ex_type, ex_value, ex_tb, messages_on_one_line)))
    except Exception as failure:  # out of memory or of stack, or an exception that is odd beyond words
        remote = ex_value.__dict__.get("_pyroTraceback")
        lines = [line for line in remote if type(line) is str] if type(remote) is list else []
        shown = [f"{remote_note(lines)}\n"] if lines else []
        return [f"{type(ex_value).__qualname__}, whose traceback cannot be shown: {type(failure).__name__}\n", *shown]


def get_pyro_traceback(
    ex_type: Any = None, ex_value: BaseException | None = None, ex_tb: TracebackType | None = None
) -> list[str]:
    """Return the traceback of an exception here, followed by the one that it, or a cause of it, had in another process.

    Arguments: none, for the exception that is being handled; an exception; or the three parts of ``sys.exc_info()``.
    Raises TypeError for a single argument that is no exception.
    """
    if isinstance(ex_type, BaseException) and ex_value is None:
        ex_type, ex_value, ex_tb = type(ex_type), ex_type, ex_type.__traceback__
    elif ex_type is not None and not isinstance(ex_type, type):
        raise TypeError(f"expected an exception, the three parts of sys.exc_info(), or nothing, not {ex_type!r}")
    return format_traceback(ex_type, ex_value, ex_tb)


def excepthook(ex_type: type[BaseException], ex_value: BaseException, ex_tb: TracebackType | None) -> None:
    """Print an uncaught exception with its remote traceback: ``sys.excepthook = fastpyro.errors.excepthook``."""
    if sys.stderr is not None:
        sys.stderr.write("".join(get_pyro_traceback(ex_type, ex_value, ex_tb)))


def _formatted(
    ex_type: type[BaseException] | None, error: BaseException, trace: TracebackType | None, one_line: bool
) -> list[str]:
    from traceback import TracebackException

    described = TracebackException(ex_type or type(error), error, trace, compact=True)
    is_alone = not (described.__cause__ or described.__context__ or described.exceptions)
    for part, its_error in [(described, error)] if is_alone else _parts(described, error):
        remote = getattr(its_error, "_pyroTraceback", None)
        notes = list(getattr(its_error, "__notes__", None) or ())
        if remote and not any(map(is_remote_note, notes)):  # somebody else's, or its notes were removed
            part.__notes__ = [*notes, remote_note([remote] if isinstance(remote, str) else map(str, remote))]
        if one_line:
            _put_on_one_line(part)
    if is_alone:  # what `format` gives, without its indenting of each line for groups: half the time
        return ["Traceback (most recent call last):\n", *described.stack.format(), *described.format_exception_only()]
    return list(described.format())


def _put_on_one_line(part: TracebackException) -> None:
    for name in ("_str", "msg"):  # what the error says; `msg` for syntax errors
        text = getattr(part, name, None)
        if isinstance(text, str):
            setattr(part, name, on_one_line(text))
    if part.__notes__:
        part.__notes__ = [
            _marked(note) if is_remote_note(note) else on_one_line(str(note)) for note in map(str, part.__notes__)
        ]


def _marked(note: str) -> str:
    """Return a remote traceback of which every line shows that it is a part of one."""
    lines = note.split("\n")
    return "\n".join(line if line.startswith((" | ", " +--- ")) else f" | {line}" for line in lines)


def _parts(described: TracebackException, error: BaseException) -> Iterator[tuple[TracebackException, BaseException]]:
    """Yield what will be printed: the exception, its causes, and the members of groups."""
    waiting: list[tuple[TracebackException | None, BaseException | None]] = [(described, error)]
    while waiting:
        part, its_error = waiting.pop()
        if part is None or its_error is None:
            continue
        yield part, its_error
        waiting += [(part.__cause__, its_error.__cause__), (part.__context__, its_error.__context__)]
        if part.exceptions and isinstance(its_error, BaseExceptionGroup):
            waiting += zip(part.exceptions, its_error.exceptions, strict=False)


def _detailed(error: BaseException, trace: TracebackType | None) -> Iterator[str]:
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and all(cause is not seen for seen in chain) and len(chain) < LONGEST_CHAIN:
        chain.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    for link in reversed(chain):
        yield from _detailed_one(link, trace if link is error else link.__traceback__)
        if link is not error:
            yield "\nThis led to the next exception:\n\n"


def _keys_in(error: BaseException, trace: TracebackType | None) -> set[str]:
    """Return the texts of the keys and passwords that objects in the frames of a traceback keep under such names."""
    from traceback import walk_tb

    found: set[str] = set()
    for link, its_trace in ((error, trace), (error.__cause__, None), (error.__context__, None)):
        for frame, _ in walk_tb(its_trace or (None if link is None else link.__traceback__)):
            places: list[Any] = [frame.f_locals]
            for value in list(frame.f_locals.values())[:MOST_ITEMS]:
                attributes = _plain_attributes(value)
                if attributes is not None:
                    places.append(attributes)
            for place in places:
                found.update(_text_of(value) for name, value in place.items() if is_key_name(name) and _is_long(value))
    return found


def _plain_attributes(value: Any) -> dict[str, Any] | None:
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except Exception:  # it has none
        return None
    return attributes if type(attributes) is dict else None


def _is_long(value: Any) -> bool:
    return type(value) in (str, bytes) and len(value) >= SHORTEST_KEY


def _text_of(value: str | bytes) -> str:
    return repr(value)[1:-1] if type(value) is str else repr(value)[2:-1]


def _without_keys(pieces: list[str], keys: set[str]) -> list[str]:
    for key in sorted(keys, key=len, reverse=True):
        pieces = [piece.replace(key, MASKED) for piece in pieces]
    return pieces


def _detailed_one(error: BaseException, trace: TracebackType | None) -> Iterator[str]:
    from linecache import getline
    from traceback import walk_tb

    ruler = "-" * 52 + "\n"
    title = f"EXCEPTION {type(error)}: {_shown(error, str)}\n"
    yield ruler + title
    yield " Extended stacktrace follows (most recent call last)\n"
    for index, (frame, line) in enumerate(walk_tb(trace)):
        name, file = frame.f_code.co_name, frame.f_code.co_filename
        owner = frame.f_locals.get("self")
        if owner is not None:
            name = f"{type(owner).__name__}.{name}"
        yield f'{ruler}File "{file}", line {line}, in {name}\n'
        yield f"Source code:\n    {getline(file, line).strip()}\n"
        if index and not _keeps_secrets(frame):
            yield "Local values:\n"
            yield from (f"    {local} = {_shown_as(local, value)}\n" for local, value in sorted(frame.f_locals.items()))
            attributes = getattr(owner, "__dict__", None)
            if isinstance(attributes, dict):
                yield from (
                    f"        self.{key} = {_shown_as(key, value)}\n" for key, value in sorted(attributes.items())
                )
    yield ruler + title
    yield from (f"{note}\n" for note in getattr(error, "__notes__", None) or ())
    yield ruler


def _keeps_secrets(frame: FrameType) -> bool:
    is_own = str(frame.f_globals.get("__name__")).startswith(_OWN_PACKAGE)
    return is_own or frame.f_code.co_name in HANDS_SHAKING


def _shown_as(name: object, value: Any) -> str:
    """Return a value's text, unless its name, or the name of a part, says that it is a secret."""
    return MASKED if is_secret_name(name) else _shown(value, _repr_without_secrets)


def _repr_without_secrets(value: Any, depth: int = 3) -> str:
    if not depth:
        return repr(value) if type(value) not in (dict, list, tuple) else "…"
    rest = ["…"] if type(value) in (dict, list, tuple) and len(value) > MOST_ITEMS else []
    if type(value) is dict:
        pairs = itertools.islice(value.items(), MOST_ITEMS)
        parts = [
            f"{key!r}: {MASKED if is_secret_name(key) else _repr_without_secrets(each, depth - 1)}"
            for key, each in pairs
        ]
        return "{" + ", ".join(parts + rest) + "}"
    if type(value) in (list, tuple):
        parts = [_repr_without_secrets(each, depth - 1) for each in value[:MOST_ITEMS]]
        inside = ", ".join(parts + rest)
        return f"[{inside}]" if type(value) is list else f"({inside}{',' if len(value) == 1 else ''})"
    return repr(value)


def _shown(value: Any, show: Any = repr) -> str:
    try:
        text = str(show(value))
    except Exception as failure:
        return f"<no text: {type(failure).__name__}>"
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"
