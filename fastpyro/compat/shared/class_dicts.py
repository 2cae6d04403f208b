"""What the base class of Pyro's serializers does with objects and the dicts that stand for them; the same in both Pyros."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from fastpyro import errors
from fastpyro.compat.shared.registrations import Registrations
from fastpyro.values.peer_dicts import ClassDicts

__all__ = ["ClassDictMethods", "all_exceptions", "in_pyros_words"]

UNKNOWN = re.compile(r"unsupported serialized class: '([^']*)'")

all_exceptions: dict[str, type[BaseException]] = {
    name: value
    for module in (builtins, errors)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}
"""Exceptions that arrive as themselves, by name."""


@contextmanager
def in_pyros_words() -> Iterator[None]:
    """Say in Pyro's words that a class is not known, which programs look for; what to do about it is a note."""
    try:
        yield
    except errors.SerializeError as error:
        found = UNKNOWN.match(str(error))
        if found is None:
            raise
        said = errors.SerializeError(f"unsupported serialized class: {found[1]}")
        said.add_note(str(error))
        raise said from None


class ClassDictMethods(Registrations):
    """For the ``SerializerBase`` of a peer. Attribute of it: ``_class_dicts``, objects and dicts in the peer's names."""

    _class_dicts: ClassVar[ClassDicts]

    @classmethod
    def recreate_classes(cls, literal: Any) -> Any:
        """Return plain values with the objects in the place of the dicts that stand for some."""
        if isinstance(literal, set):
            return {cls.recreate_classes(item) for item in literal}
        if isinstance(literal, list | tuple):
            return type(literal)(cls.recreate_classes(item) for item in literal)
        if not isinstance(literal, dict):
            return literal
        if "__class__" in literal:
            return cls.dict_to_class(literal)
        return {key: cls.recreate_classes(value) for key, value in literal.items()}

    @classmethod
    def class_to_dict(cls, obj: Any) -> Any:
        """Return the dict that an object is sent as, with its "__class__"; for a replaced object what replaces it."""
        return cls._class_dicts.simplify(obj)

    @classmethod
    def dict_to_class(cls, data: dict[str, Any]) -> Any:
        """Build an object from a dict whose "__class__" names its class."""
        class_name = data.get("__class__")
        with in_pyros_words():
            return cls._class_dicts.build(class_name if isinstance(class_name, str) else "<unknown>", data)

    @staticmethod
    def make_exception(exceptiontype: Any, data: dict[str, Any]) -> BaseException:
        """Build an exception from its class and the dict that stands for it."""
        error: BaseException = exceptiontype(*data["args"])
        for name, value in data.get("attributes", {}).items():
            setattr(error, name, value)
        return error
