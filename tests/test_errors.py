"""The tree of errors: who is whose parent, and that none of them gets in the way of the builtin one it belongs to."""

from __future__ import annotations

import builtins
import copy
import pickle
import traceback

import pytest

from fastpyro import errors, tracebacks


@pytest.mark.parametrize(
    ("name", "parents"),
    [
        ("CommunicationError", ["PyroError"]),
        ("ConnectionClosedError", ["CommunicationError", "ConnectionError"]),
        ("TimeoutError", ["CommunicationError"]),
        ("ProtocolError", ["CommunicationError"]),
        ("LocalProtocolError", ["ProtocolError"]),
        ("RemoteProtocolError", ["ProtocolError"]),
        ("MessageTooLargeError", ["ProtocolError"]),
        ("SerializeError", ["ProtocolError", "ValueError"]),
        ("NamingError", ["PyroError", "LookupError"]),
        ("DaemonError", ["PyroError"]),
        ("SecurityError", ["PyroError"]),
        ("RemoteError", ["PyroError"]),
    ],
)
def test_tree(name: str, parents: list[str]) -> None:
    cls = getattr(errors, name)
    for parent in parents:
        assert issubclass(cls, getattr(errors, parent, None) or getattr(builtins, parent))


def test_timeout_is_the_builtin_one_too() -> None:
    assert issubclass(errors.TimeoutError, builtins.TimeoutError)


def test_names_of_the_root() -> None:
    assert errors.FastPyroError is errors.PyroError


def test_everything_listed_is_there() -> None:
    own = {name for name, value in vars(errors).items() if getattr(value, "__module__", "") == errors.__name__}
    assert set(errors.__all__) == own | {"excepthook", "get_pyro_traceback"}


def test_functions_are_those_of_tracebacks() -> None:
    assert errors.get_pyro_traceback is tracebacks.get_pyro_traceback
    assert errors.excepthook is tracebacks.excepthook


def test_remote_error() -> None:
    error = errors.RemoteError(
        "shop.Broke", ("no money", 5), {"missing": 5, "args": "x", "__class__": int, "class_name": 1}
    )
    assert str(error) == "shop.Broke: ('no money', 5)"
    assert str(errors.RemoteError("shop.Broke")) == "shop.Broke"
    assert (error.class_name, error.args, error.missing) == ("shop.Broke", ("no money", 5), 5)
    assert error.attributes["args"] == "x"


@pytest.mark.parametrize("error", [errors.RemoteError("a.B", (1,), {"c": 2}), errors.SerializeError("x")], ids=repr)
def test_copies(error: Exception) -> None:
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(twin), twin.args, vars(twin)) == (type(error), error.args, vars(error))


@pytest.mark.parametrize(
    "cls", [errors.PyroError, errors.NamingError, errors.CommunicationError, errors.ConnectionClosedError]
)
def test_texts_steer_no_terminal(cls: type[Exception]) -> None:
    error = cls("a\x1b[2J\n\tb\u202e")
    assert str(error) == "a\\x1b[2J\n\tb\\u202e"
    assert error.args == ("a\x1b[2J\n\tb\u202e",)
    assert "\x1b" not in "".join(traceback.format_exception(error))
    assert str(cls()) == ""


def test_class_names_of_remote_errors_are_on_one_line() -> None:
    assert str(errors.RemoteError("a\nb", ("text\x1b",))) == "a\\nb: text\\x1b"
