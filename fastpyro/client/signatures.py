"""Turns the text of a remote method's signature back into an `inspect.Signature`, without evaluating any of it."""

from __future__ import annotations

import ast
import inspect

__all__ = ["signature_from_state"]

LONGEST_TEXT = 2000
"""Characters; a longer signature is shown as ``(*args, **kwargs)``."""


class _Source:
    """A default value or annotation that is known only by its source text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def signature_from_state(text: object) -> inspect.Signature:
    """Return the signature that ``text`` (such as ``"(name, size=3, *, fast=False)"``) describes.

    What is no plain signature gives ``(*args, **kwargs)``: it was sent by another process, and help is all it is for.
    """
    try:
        if not isinstance(text, str) or len(text) > LONGEST_TEXT:
            raise ValueError("not a signature")
        tree = ast.parse(f"def function{text}: pass")
        (function,) = tree.body
        if not isinstance(function, ast.FunctionDef):
            raise ValueError("not a signature")
        return _signature(function)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return inspect.Signature(
            [
                inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
                inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
            ]
        )


def _signature(function: ast.FunctionDef) -> inspect.Signature:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    parameters = []
    for index, (argument, default) in enumerate(zip(positional, defaults, strict=True)):
        kind = (
            inspect.Parameter.POSITIONAL_ONLY
            if index < len(arguments.posonlyargs)
            else inspect.Parameter.POSITIONAL_OR_KEYWORD
        )
        parameters.append(_parameter(argument, kind, default))
    if arguments.vararg:
        parameters.append(_parameter(arguments.vararg, inspect.Parameter.VAR_POSITIONAL, None))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters.append(_parameter(argument, inspect.Parameter.KEYWORD_ONLY, default))
    if arguments.kwarg:
        parameters.append(_parameter(arguments.kwarg, inspect.Parameter.VAR_KEYWORD, None))
    returns = inspect.Signature.empty if function.returns is None else _Source(ast.unparse(function.returns))
    return inspect.Signature(parameters, return_annotation=returns)


def _parameter(argument: ast.arg, kind: inspect._ParameterKind, default: ast.expr | None) -> inspect.Parameter:
    empty = inspect.Parameter.empty
    return inspect.Parameter(
        argument.arg,
        kind,
        default=empty if default is None else _Source(ast.unparse(default)),
        annotation=empty if argument.annotation is None else _Source(ast.unparse(argument.annotation)),
    )
