"""The special methods of a proxy: what Python's syntax asks of it is asked of its object, where that exposes it.

A method whose absence means something to Python (`NotImplemented`, going through the items instead) is absent for Python
when the object does not expose it. Knows a proxy by its names and by how methods are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.client.method import RemoteMethod

if TYPE_CHECKING:
    from typing import Any

__all__ = ["SpecialMethods"]

BINARY = (
    "add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow", "lshift", "rshift", "and", "or", "xor",
)  # fmt: skip
"""Operators of two operands, each with a form for a proxy on the right side; all but `divmod` with one in place, too."""

UNARY = ("neg", "pos", "abs", "invert", "int", "float", "complex", "round", "trunc", "floor", "ceil")


class SpecialMethods:
    """A base for proxies."""

    __slots__ = ()

    if TYPE_CHECKING:
        _pyroUri: Any
        _pyroMethods: set[str]
        _pyroAttrs: set[str]
        _pyro_metadata_loaded: bool

        def _pyroGetMetadata(self) -> None: ...
        def _pyroInvoke(self, methodname: str, vargs: Any, kwargs: dict[str, Any] | None) -> Any: ...

    def __len__(self) -> int:
        return self._pyro_special("__len__")  # type: ignore[no-any-return]

    def __getitem__(self, index: Any) -> Any:
        return self._pyro_special("__getitem__", index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._pyro_special("__setitem__", index, value)

    def __delitem__(self, index: Any) -> None:
        self._pyro_special("__delitem__", index)

    def __contains__(self, value: Any) -> bool:
        if self._pyro_exposes("__contains__"):
            return bool(self._pyro_special("__contains__", value))
        return any(item is value or item == value for item in self)

    def __reversed__(self) -> Any:
        if self._pyro_exposes("__reversed__"):
            return self._pyro_special("__reversed__")
        return (self[index] for index in range(len(self) - 1, -1, -1))

    def __iter__(self) -> Iterator[Any]:
        if self._pyro_exposes("__iter__"):
            yield from self._pyroInvoke("__iter__", (), {})
            return
        if "__getitem__" not in self._pyroMethods:
            raise TypeError(f"remote object '{self._pyroUri}' exposes neither __iter__ nor __getitem__")
        index = 0
        while True:
            try:
                item = self[index]
            except IndexError:
                return
            yield item
            index += 1

    def _pyro_exposes(self, name: str) -> bool:
        if not self._pyro_metadata_loaded:
            self._pyroGetMetadata()
        return name in self._pyroMethods

    def _pyro_special(self, name: str, *arguments: Any) -> Any:
        if not self._pyro_exposes(name):
            raise TypeError(f"remote object '{self._pyroUri}' does not expose {name}")
        return RemoteMethod(self, name)(*arguments)


def _unary(name: str) -> Callable[..., Any]:
    def forward(self: Any, *arguments: Any) -> Any:
        return self._pyro_special(name, *arguments)

    return forward


def _binary(name: str) -> Callable[..., Any]:
    def forward(self: Any, *operands: Any) -> Any:
        if not self._pyro_exposes(name):
            return NotImplemented  # Python asks the other operand
        return RemoteMethod(self, name)(*operands)

    return forward


def _define(name: str, forward: Callable[..., Any]) -> None:
    forward.__name__, forward.__qualname__ = name, f"SpecialMethods.{name}"
    setattr(SpecialMethods, name, forward)


for _name in UNARY:
    _define(f"__{_name}__", _unary(f"__{_name}__"))
for _name in BINARY:
    for _prefix in ("", "r") if _name == "divmod" else ("", "r", "i"):
        _define(f"__{_prefix}{_name}__", _binary(f"__{_prefix}{_name}__"))
