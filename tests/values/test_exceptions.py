"""Exceptions as values: their own class where it is known, a faithful RemoteError where it is not, never a failure."""

from __future__ import annotations

import asyncio
import builtins
import copy
import pickle
import sqlite3
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastpyro import errors
from fastpyro.errors import PyroError, RemoteError, SerializeError
from fastpyro.serializers.registry import native
from fastpyro.tracebacks import is_remote_note
from fastpyro.values import class_registry, exceptions
from fastpyro.values.exceptions import exception_reply, register_exception, with_traceback
from fastpyro.values.registration import StateOf, register_class, register_class_to_dict, register_dict_to_class


def round_trip(value: Any) -> Any:
    return native.loads(native.dumps(value))


def build(state: Any) -> Any:
    """Return what arrives when a peer writes an exception's state itself."""
    return round_trip(StateOf("exception", state))


@pytest.fixture(autouse=True)
def _restored_registry() -> Iterator[None]:
    """Forget what a test registers."""
    tables: list[Any] = [
        exceptions._classes,
        exceptions._names,
        class_registry._to_dict,
        class_registry._from_dict,
    ]
    before = [dict(table) for table in tables]
    yield
    for table, content in zip(tables, before, strict=True):
        table.clear()
        table.update(content)
    class_registry._writers.clear()


class StockError(Exception):
    """Its constructor takes other things than its args hold."""

    built = 0

    def __init__(self, item: str, *, missing: int) -> None:
        type(self).built += 1
        super().__init__(f"{missing} {item} missing")
        self.item = item
        self.missing = missing


class SlottedError(StockError):
    __slots__ = ("extra",)
    extra: str


class FileError(FileNotFoundError):
    def __init__(self, what: str) -> None:
        super().__init__(2, "not there", what)
        self.what = what


class TextError(UnicodeDecodeError):
    pass


class GuardedError(Exception):
    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)

    def __new__(cls, *args: Any) -> GuardedError:
        raise AssertionError("must not be called")


class ManyErrors(ExceptionGroup[Exception]):
    pass


def exception_key(error: BaseException) -> Any:
    return type(error), error.args, str(error)


def builtin_exceptions() -> list[type[Exception]]:
    return [cls for cls in vars(builtins).values() if isinstance(cls, type) and issubclass(cls, Exception)]


ODD = [
    KeyError("key"),
    OSError(5, "broken"),
    FileNotFoundError(2, "No such file", "name"),
    OSError(18, "cross-device", "from", None, "to"),
    OSError("only text"),
    BlockingIOError(11, "again", 5),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    UnicodeEncodeError("ascii", "é", 0, 1, "bad"),
    UnicodeTranslateError("é", 0, 1, "bad"),
    SyntaxError("bad", ("file.py", 1, 2, "text", 1, 3)),
    SyntaxError("bad"),
    IndentationError("bad", ("file.py", 1, 2, "text")),
    StopIteration(5),
    StopAsyncIteration(),
    ImportError("no", name="module", path="/x"),
    ModuleNotFoundError("no", name="module"),
    NameError("no", name="variable"),
    AttributeError("no", name="attribute", obj=object()),
    ExceptionGroup("several", [ValueError(1), ExceptionGroup("inner", [KeyError(2)])]),
    DeprecationWarning("old"),
    RecursionError("deep"),
    ZeroDivisionError(),
    errors.ConnectionClosedError("gone"),
    errors.TimeoutError("late"),
    errors.SerializeError("no"),
    errors.NamingError("who"),
    struct.error("bytes"),
    sqlite3.OperationalError("locked"),
    ValueError({"nested": [1, (2, {3})]}, b"bytes", None),
]


@pytest.mark.parametrize("error", ODD, ids=repr)
def test_known_classes_arrive_as_themselves(error: BaseException) -> None:
    received = round_trip([error])[0]
    assert repr(exception_key(received)) == repr(exception_key(error))
    for owner, names in exceptions._FIELDS.items():
        for name in names if isinstance(error, owner) else ():
            assert getattr(received, name) == getattr(error, name)


@pytest.mark.parametrize("cls", builtin_exceptions(), ids=lambda cls: cls.__name__)
def test_every_builtin_class(cls: type[Exception]) -> None:
    args: dict[str, tuple[Any, ...]] = {
        "UnicodeDecodeError": ("utf-8", b"\xff", 0, 1, "bad"),
        "UnicodeEncodeError": ("ascii", "é", 0, 1, "bad"),
        "UnicodeTranslateError": ("é", 0, 1, "bad"),
        "ExceptionGroup": ("several", [ValueError("one")]),
    }
    error = cls(*args.get(cls.__name__, ("text",) if issubclass(cls, SyntaxError) else ("text", 5)))
    error.detail = [1]  # type: ignore[attr-defined]
    received = round_trip(error)
    assert (type(received), str(received), received.detail) == (cls, str(error), [1])


def test_args_and_attributes_that_were_changed() -> None:
    error = ValueError("first")
    error.args += ("second",)
    error.code = 5  # type: ignore[attr-defined]
    received = round_trip(error)
    assert received.args == ("first", "second")
    assert received.code == 5
    changed = FileNotFoundError(2, "no", "old")
    changed.filename = "new"
    assert round_trip(changed).filename == "new"


@pytest.mark.parametrize("cls", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, BaseException])
def test_what_would_end_the_client(cls: type[BaseException]) -> None:
    received = round_trip(cls(3))
    assert type(received) is RemoteError
    assert received.class_name == f"{cls.__module__}.{cls.__qualname__}"
    assert received.args == (3,)


def test_unregistered_exception_tells_everything() -> None:
    received = round_trip(StockError("apples", missing=3))
    assert type(received) is RemoteError
    assert received.class_name == f"{__name__}.StockError"
    assert received.args == ("3 apples missing",)
    assert (received.item, received.missing) == ("apples", 3)
    assert received.attributes == {"item": "apples", "missing": 3}
    assert str(received) == f"{__name__}.StockError: 3 apples missing"


def test_registered_exception_without_its_constructor() -> None:
    assert register_exception(StockError) is StockError
    error = StockError("apples", missing=3)
    built = StockError.built
    received = round_trip(error)
    assert StockError.built == built
    assert exception_key(received) == exception_key(error)
    assert (received.item, received.missing) == ("apples", 3)


def test_name_bridges_script_and_module() -> None:
    @register_exception(name="shop.StockError")
    class OtherError(Exception):
        pass

    state: tuple[Any, ...] = ("shop.StockError", ("x",), {}, [], [], {})
    assert type(class_registry.build("exception", state)) is OtherError
    assert exceptions._state_of(OtherError()).class_name == "shop.StockError"


def test_register_class_takes_exceptions_too() -> None:
    register_class(StockError, "shop.StockError")
    assert type(round_trip(StockError("a", missing=1))) is StockError


def test_remote_error_passes_through_as_what_it_was() -> None:
    """A server in the middle does not know the class; the last client does."""
    data = native.dumps(StockError("apples", missing=3))
    in_the_middle = native.loads(data)
    assert type(in_the_middle) is RemoteError
    data = native.dumps(in_the_middle)
    register_exception(StockError)
    received = native.loads(data)
    assert (type(received), received.item, received.args) == (StockError, "apples", ("3 apples missing",))


@pytest.mark.parametrize(
    "error",
    [FileError("name"), TextError("utf-8", b"\xff", 0, 1, "bad"), ManyErrors("many", [ValueError(1)])],
    ids=lambda error: type(error).__name__,
)
def test_registered_subclasses_of_builtins_with_state_in_c(error: Exception) -> None:
    register_exception(type(error))
    received = round_trip(error)
    assert repr(exception_key(received)) == repr(exception_key(error))
    assert vars(received).get("what") == vars(error).get("what")
    if isinstance(error, FileError):
        assert (received.errno, received.filename) == (2, "name")


def test_slots_and_guards() -> None:
    register_exception(SlottedError)
    error = SlottedError("x", missing=1)
    error.extra = "in a slot"
    assert round_trip(error).extra == "in a slot"
    register_exception(GuardedError)
    guarded = Exception.__new__(GuardedError, "args")
    received = native.loads(exception_reply(native, guarded, ["line\n"]))
    assert (type(received), received.args, received._pyroTraceback) == (GuardedError, ("args",), ["line\n"])


def test_subclass_of_a_registered_exception_is_not_registered() -> None:
    register_exception(StockError)
    assert type(round_trip(SlottedError("x", missing=1))) is RemoteError


@pytest.mark.parametrize("value", [int, "name", StockError("x", missing=1), BaseException, KeyboardInterrupt])
def test_register_exception_expects_an_exception_class(value: Any) -> None:
    with pytest.raises(TypeError, match="subclass of Exception"):
        register_exception(value)


def test_names_that_are_taken() -> None:
    with pytest.raises(ValueError, match="fastpyro's own"):
        register_exception(StockError, "builtins.ValueError")
    register_exception(StockError, "shop.Error")
    with pytest.raises(ValueError, match="already"):
        register_exception(FileError, "shop.Error")


def test_converters_of_pyro() -> None:
    register_dict_to_class(
        f"{__name__}.StockError", lambda name, data: StockError(data["attributes"]["item"], missing=9)
    )
    assert round_trip(StockError("pears", missing=1)).args == ("9 pears missing",)
    register_dict_to_class(f"{__name__}.StockError", lambda name, data: "no exception")
    assert type(round_trip(StockError("pears", missing=1))) is RemoteError
    register_class_to_dict(StockError, lambda error: {"item": error.item})
    assert round_trip(StockError("pears", missing=1)) == {"item": "pears"}


def test_module_that_nobody_imported_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    data = native.dumps(sqlite3.IntegrityError("twice"))
    monkeypatch.delitem(sys.modules, "sqlite3")
    received = native.loads(data)
    assert type(received) is RemoteError
    assert received.class_name == "sqlite3.IntegrityError"
    assert "sqlite3" not in sys.modules


@pytest.mark.parametrize("name", ["sqlite3.connect", "struct.Struct", "os.error", "struct.", "", ".", "builtins.eval"])
def test_names_that_are_no_exceptions(name: str) -> None:
    assert type(class_registry.build("exception", (name, (), {}, [], [], {}))) is RemoteError


def test_traceback_and_notes() -> None:
    error = ValueError("x")
    error.add_note("remember")
    received = native.loads(exception_reply(native, error, ["first\n", "second\n"]))
    assert received._pyroTraceback == ["first\n", "second\n"]
    assert received.__notes__[0] == "remember"
    assert is_remote_note(received.__notes__[1])
    assert not hasattr(error, "_pyroTraceback"), "the server's own exception is left alone"
    again = round_trip(received)
    assert again._pyroTraceback == received._pyroTraceback
    assert again.__notes__ == received.__notes__


def test_with_traceback_is_encoded_as_the_exception() -> None:
    received = round_trip(with_traceback(ValueError("x"), ["line\n"]))
    assert (type(received), received._pyroTraceback) == (ValueError, ["line\n"])


@pytest.mark.parametrize("place", ["args", "attributes"])
@pytest.mark.parametrize("bad", [threading.Lock(), print, iter([])], ids=lambda bad: type(bad).__name__)
def test_unserializable_exception_is_replaced(place: str, bad: Any) -> None:
    error = ValueError("the text", bad) if place == "args" else ValueError("the text")
    if place == "attributes":
        error.bad = bad  # type: ignore[attr-defined]
    received = native.loads(exception_reply(native, error, ["line\n"]))
    assert type(received) is PyroError
    assert str(received).startswith("Error serializing exception: cannot serialize an object of type ")
    assert "Original exception: builtins.ValueError: " in str(received)
    assert "the text" in str(received)
    assert received._pyroTraceback == ["line\n"]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unruly(Exception):
    @property
    def args(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no args")

    @property
    def _pyroTraceback(self) -> Any:
        raise RuntimeError("no traceback")


def test_exceptions_that_resist() -> None:
    received = native.loads(exception_reply(native, Unspeakable(print), []))
    assert "<no text: RuntimeError>" in str(received)
    received = native.loads(exception_reply(native, Unruly(), []))
    assert "Original exception" in str(received)
    itself = ValueError()
    itself.args = (itself,)
    assert "nested deeper" in str(native.loads(exception_reply(native, itself, [])))
    group: Exception = ValueError("innermost")
    for _ in range(150):
        group = ExceptionGroup("group", [group])
    assert type(native.loads(exception_reply(native, group, []))) is PyroError
    long = ValueError("x" * 1_000_000, print)
    assert len(exception_reply(native, long, [])) < 100_000


def test_group_with_members_that_are_not_known() -> None:
    group = ExceptionGroup("several", [StockError("x", missing=1), ValueError("known")])
    received = round_trip(group)
    assert [type(member) for member in received.exceptions] == [RemoteError, ValueError]
    base = BaseExceptionGroup("several", [KeyboardInterrupt(), ValueError("known")])
    assert [type(member) for member in round_trip(base).exceptions] == [RemoteError, ValueError]


GOOD: tuple[Any, ...] = ("builtins.ValueError", ("x",), {"a": 1}, ["line"], ["note"], {})


@pytest.mark.parametrize(
    "state",
    [
        None,
        (),
        GOOD[:5],
        list(GOOD),
        (5, *GOOD[1:]),
        (GOOD[0], ["x"], *GOOD[2:]),
        (*GOOD[:2], {1: 2}, *GOOD[3:]),
        (*GOOD[:2], [], *GOOD[3:]),
        (*GOOD[:3], "line", *GOOD[4:]),
        (*GOOD[:3], [1], *GOOD[4:]),
        (*GOOD[:4], [None], {}),
        (*GOOD[:5], {"errno": []}),
        (*GOOD[:5], None),
    ],
    ids=repr,
)
def test_states_of_the_wrong_shape(state: Any) -> None:
    with pytest.raises(SerializeError, match="serialized exception"):
        round_trip(StateOf("exception", state))


@pytest.mark.parametrize(
    "state",
    [
        ("builtins.UnicodeDecodeError", ("x",), {}, [], [], {}),
        ("builtins.UnicodeDecodeError", (1, 2, 3, 4, 5), {}, [], [], {}),
        ("builtins.ExceptionGroup", ("x", [1]), {}, [], [], {}),
        ("builtins.SyntaxError", ("x", 5), {}, [], [], {}),
        ("builtins.ValueError", (), {"__class__": "x"}, [], [], {}),
        ("fastpyro.errors.RemoteError", ("x",), {}, [], [], {}),
    ],
    ids=repr,
)
def test_states_that_do_not_suit_their_class(state: Any) -> None:
    received = round_trip(StateOf("exception", state))
    assert type(received) is RemoteError
    assert (received.class_name, received.args) == state[:2]


def test_methods_of_exceptions_can_be_hidden_by_attributes() -> None:
    state: tuple[Any, ...] = (
        "builtins.ValueError",
        (),
        {"add_note": 5, "with_traceback": 6, "args": 7},
        ["line"],
        ["note"],
        {},
    )
    received = round_trip(StateOf("exception", state))
    assert (received.args, len(received.__notes__)) == ((), 2)


json_like = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.binary(max_size=5), st.lists, max_leaves=5
)
names = st.sampled_from([f"builtins.{cls.__name__}" for cls in builtin_exceptions()] + ["shop.Error", "struct.error"])
fields = st.dictionaries(st.sampled_from([n for f in exceptions._FIELDS.values() for n in f]), json_like)


@given(names, st.lists(json_like, max_size=6).map(tuple), st.dictionaries(st.text(max_size=8), json_like), fields)
@example("builtins.TabError", (None, [None, None, None, []]), {}, {})
def test_any_state_gives_an_exception_or_serialize_error(name: str, args: Any, attributes: Any, own: Any) -> None:
    try:
        received = round_trip(StateOf("exception", (name, args, attributes, ["line\n"], [], own)))
    except SerializeError:
        return
    assert isinstance(received, Exception)
    assert isinstance(str(received), str)
    assert "line" in "".join(errors.get_pyro_traceback(received))
    round_trip(received)


BILLION = 1_000_000_000


@pytest.mark.parametrize(
    "details",
    [
        ("f", 1, 1, "x", 1, BILLION),
        ("f", 1, BILLION, "x", 1, 2 * BILLION),
        ("f", 1, -BILLION, "x", 1, 3),
        ["f", 10**30, 1, "x", 10**30, BILLION],
        ("f", 1, BILLION, None),
        ("f", 1, 1, 5, 1, BILLION),
        ("f", 1, 1, "x", 1, BILLION, (1, 2, "1 + 1")),
    ],
)
@pytest.mark.parametrize("by_fields", [False, True])
def test_a_syntax_error_marks_no_more_than_its_text(details: Any, by_fields: bool) -> None:
    """A traceback shows a mark for each column from offset to end_offset: 80 bytes would become a gigabyte."""
    names = ("filename", "lineno", "offset", "text", "end_lineno", "end_offset")
    fields = dict(zip(names, details, strict=False)) if by_fields else {}
    args = ("m",) if by_fields else ("m", details)
    error = build(("builtins.SyntaxError", args, {}, [], [], fields))
    assert isinstance(error, Exception)
    told: Any
    for told in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert len("".join(traceback.format_exception(told))) < 500


def test_a_syntax_error_of_somebodys_code_arrives_as_it_is() -> None:
    with pytest.raises(SyntaxError) as caught:
        compile("x = 1 +* 2", "cell", "exec")
    arrived = round_trip(caught.value)
    assert type(arrived) is SyntaxError
    assert "".join(traceback.format_exception_only(arrived)) == "".join(traceback.format_exception_only(caught.value))
    assert arrived.args == (caught.value.args[0], caught.value.args[1][:6])


def test_an_exception_that_could_not_tell_itself_is_a_remote_error() -> None:
    """Its constructor, which no message runs, would have set what its text is made of."""
    name = "subprocess.CalledProcessError"
    assert isinstance(round_trip(subprocess.CalledProcessError(3, "ls")), subprocess.CalledProcessError)
    error = build((name, (1, "ls"), {}, [], [], {}))
    assert isinstance(error, RemoteError)
    assert error.class_name == name
    assert name in str(error)
