"""Where inside the arguments of a call, or its result, a value stands that cannot travel: for the error that says so.

Codecs do not know where they are, because that would cost every call. Only when one refuses, its values are gone through
once more: as the codec does it, until the first one that is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.errors import SerializeError
from fastpyro.values.time_zones import check_zone

if TYPE_CHECKING:
    from typing import Any

    Expand = Callable[[Any], tuple[str | None, Any]]
    Place = tuple[str, Any]

__all__ = ["located", "of_call"]

MOST_VALUES = 1_000_000
"""Values that are looked at. Behind them, an error stays without a path."""

LONGEST_KEY = 40
"""Characters of a key in a path."""

MOST_LEVELS = 201

MOST_TRIED = 10_000
"""Values that are written once more to find the one that cannot be; behind them it is looked for no deeper."""

_BEGINNINGS = tuple(start + place for start in ("", "a key of ") for place in ("args[", "kwargs[", "calls[", "result"))
_TOO_DEEP = ("nested deeper", "recursion depth")

_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray, memoryview})
_NOT_EVERYWHERE = frozenset({complex, bytes, bytearray, memoryview})
"""Of these the ones that some formats have no form for."""

_MOMENTS = frozenset({date, datetime, time, timedelta})
_LISTS = frozenset({list, tuple})
_SETS = frozenset({set, frozenset})


def of_call(args: Iterable[Any], kwargs: dict[str, Any] | None, before: str = "") -> Iterator[Place]:
    """Yield the arguments of a call with their paths; ``before`` says which call of a batch it is."""
    for index, value in enumerate(args):
        yield f"{before}args[{index}]", value
    for name, value in (kwargs or {}).items():
        yield f"{before}kwargs[{_quoted(name)}]", value


def located(
    error: SerializeError,
    places: Iterable[Place],
    expand: Expand | None,
    encode: Callable[[Any], object] | None = None,
) -> SerializeError:
    """Return the error for a value that was refused, with the path to it before its text; the error itself without one.

    Arguments: ``places``, paths and values that were to be encoded; ``expand(value) -> (class name, state)``, what the codec
    makes of an object (None: nobody knows); ``encode``, which writes one value, to find what is refused for another reason
    than its class. Errors that have a path already, and of subclasses, stay what they are.
    """
    said = str(error)
    if type(error) is not SerializeError or said.startswith(_BEGINNINGS):
        return error
    try:
        if said.startswith("cannot serialize"):
            found = None if expand is None else _first_refused(places, expand, said)
        else:
            found = None if encode is None else _first_failing(places, expand, encode)
    except Exception:  # in code of the values' classes, which ran well a moment ago
        return error
    return error if found is None else SerializeError(f"{found[0]}: {found[1]}")


def _first_failing(
    places: Iterable[Place], expand: Expand | None, encode: Callable[[Any], object]
) -> tuple[str, str] | None:
    """Return path and reason of the innermost value that cannot be written by itself, None if all can.

    Where all parts of it can, such as the keys of a dict, it is the whole.
    """
    found = None
    tried = 0
    for _ in range(MOST_LEVELS):
        for place in places:
            tried += 1
            refusal = _refusal(place[1], encode)
            if refusal:
                break
        else:
            return found
        path, value = place
        too_deep = any(words in refusal for words in _TOO_DEEP)
        found = path, f"{refusal}. Send it in parts" if too_deep else refusal
        inside = _inside(path, value)
        if inside is None and expand is not None and type(value) not in _ATOMS:
            inside = _parts(path, *expand(value))
        if inside is None or too_deep or tried > MOST_TRIED:
            return found  # inside something deep everything is less deep
        places = inside
    return found


def _refusal(value: Any, encode: Callable[[Any], object]) -> str:
    try:
        encode(value)
    except SerializeError as refusal:
        return str(refusal)
    return ""


def _first_refused(places: Iterable[Place], expand: Expand, said: str) -> tuple[str, str] | None:
    """Return path and reason of the first value that is refused, in the order in which they are encoded."""
    waiting: list[Iterator[Place]] = [iter(places)]
    looked = 0
    while waiting and looked < MOST_VALUES:
        place = next(waiting[-1], None)
        if place is None:
            waiting.pop()
            continue
        path, value = place
        looked += 1
        if type(value) in _ATOMS:
            if type(value) in _NOT_EVERYWHERE and _reason(value, expand) == said:
                return path, said
            continue
        if len(waiting) > MOST_LEVELS:
            return None  # it is nested too deeply, which is another error
        inside = _inside(path, value)
        if inside is None:
            try:
                class_name, state = expand(value)
                if type(state) is type(value) in _MOMENTS:  # which the codec writes itself
                    check_zone(value)
                    continue
                inside = _parts(path, class_name, state)
            except SerializeError as refusal:
                return path, str(refusal)
        waiting.append(inside)
    return None


def _reason(value: Any, expand: Expand) -> str:
    try:
        expand(value)
    except SerializeError as refusal:
        return str(refusal)
    return ""


def _inside(path: str, value: Any) -> Iterator[Place] | None:
    """Yield what a container holds, with paths; None for an object."""
    kind = type(value)
    if kind in _LISTS:
        return ((f"{path}[{index}]", item) for index, item in enumerate(value))
    if kind in _SETS:
        return ((f"{path}{{…}}", item) for item in value)
    if kind is dict:
        return _items(path, value)
    return None


def _items(path: str, items: dict[Any, Any]) -> Iterator[Place]:
    for key, item in items.items():
        if type(key) not in _ATOMS:
            yield f"a key of {path}", key
        yield f"{path}[{_quoted(key)}]", item


def _parts(path: str, class_name: str | None, state: Any) -> Iterator[Place]:
    """Yield what is sent of an object, with paths."""
    kind = type(state)
    if kind is dict:
        return ((f"{path}.{name}" if type(name) is str else path, item) for name, item in state.items())
    if class_name is None and kind in _LISTS | _SETS:
        return _inside(path, state) or iter(())
    if class_name == "exception" and kind is not str:
        _, args, attributes, *_rest = state
        return iter([(f"{path}.args", args), *((f"{path}.{name}", item) for name, item in attributes.items())])
    return iter([(path, part) for part in (state if kind is tuple else (state,))])


def _quoted(key: Any) -> str:
    if type(key) is str:
        key = key if len(key) <= LONGEST_KEY else f"{key[:LONGEST_KEY]}…"
        return '"' + repr(key)[1:-1].replace('"', '\\"') + '"'
    if type(key) in _ATOMS or (type(key) is tuple and all(type(part) in _ATOMS for part in key)):
        return repr(key)[:LONGEST_KEY]
    return f"a {type(key).__name__}"
