"""Which id an object has in which daemon: in attributes of the object itself, as Pyro's programs expect, or beside it.

Objects that take no attributes (frozen, with slots, namedtuples) have theirs in a table. What either of them says is never
believed by itself: a daemon looks whether it has that object under that id.
"""

from __future__ import annotations

import contextlib
import weakref

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.values.class_registry import check_replaceable

if TYPE_CHECKING:
    from typing import Any

__all__ = ["AUTOMATIC", "check_type", "forget", "forget_beside", "forget_daemon", "place", "place_of"]

AUTOMATIC = "obj_"
"""How the ids begin that a daemon makes for objects without a name."""


def check_type(cls: type) -> None:
    """Raise AttributeError for a type whose objects a daemon cannot know, because they are written without asking."""
    try:
        check_replaceable(cls)
    except ValueError as error:
        raise AttributeError(f"objects of this type cannot be registered: {error}") from None


_beside: dict[int, tuple[str, weakref.ref[Any]]] = {}
"""By the object's identity: who finds an entry asks the daemon, because another object may be where one has been."""


def place(obj: Any, object_id: str, daemon: Any) -> None:
    """Note that an object has that id in that daemon."""
    try:
        obj._pyroId, obj._pyroDaemon = object_id, daemon
    except Exception:  # FrozenInstanceError, AttributeError, and whatever a __setattr__ of its own raises
        _remove_attributes(obj)
        _beside[id(obj)] = object_id, weakref.ref(daemon)
    else:
        _beside.pop(id(obj), None)


def place_of(obj: Any) -> tuple[Any, Any]:
    """Return id and daemon as they were noted, each None if it was not; an object may have been given anything."""
    known = _beside.get(id(obj))
    if known is not None:
        object_id, reference = known
        daemon = reference()
        if daemon is not None:
            return object_id, daemon
        _beside.pop(id(obj), None)
    return getattr(obj, "_pyroId", None), getattr(obj, "_pyroDaemon", None)


def forget(obj: Any) -> None:
    """Undo ``place``."""
    _beside.pop(id(obj), None)
    _remove_attributes(obj)


def forget_beside(identity: int) -> None:
    """Undo ``place`` for an object that is gone."""
    _beside.pop(identity, None)


def forget_daemon(daemon: Any) -> None:
    """Undo ``place`` for all objects beside which a daemon is noted."""
    for identity, (_, reference) in list(_beside.items()):
        if reference() in (None, daemon):
            _beside.pop(identity, None)


def _remove_attributes(obj: Any) -> None:
    for name in ("_pyroId", "_pyroDaemon"):
        if name in getattr(obj, "__dict__", ()):
            with contextlib.suppress(AttributeError):  # somebody else does the same
                delattr(obj, name)
