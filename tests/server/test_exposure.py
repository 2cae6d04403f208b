"""What clients may use: decorators, tables of members, access."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from fastpyro.server.exposure import (
    behavior,
    callback,
    delete_exposed_property,
    details_of,
    expose,
    get_exposed_property,
    is_private_attribute,
    members_of,
    metadata_of,
    oneway,
    reset_members,
    resolve_method,
    set_exposed_property,
    urgent,
)


class Partly:
    """Exposes some members."""

    plain = 3

    def __init__(self) -> None:
        self._value = 1
        self.ran: list[str] = []
        self.attached = exposed_function
        self.not_attached = len

    @expose
    def shown(self, size: int, *, fast: bool = False) -> int:
        """Return the size."""
        return size

    @expose
    @oneway
    def told(self) -> None: ...

    def hidden(self) -> str:
        return "hidden"

    @expose
    def __len__(self) -> int:
        return 5

    @classmethod
    @expose
    def of_class(cls) -> str:
        return cls.__name__

    @staticmethod
    @expose
    def of_nobody() -> str:
        return "static"

    @expose  # type: ignore[prop-decorator]
    @property
    def value(self) -> int:
        """The value."""
        return self._value

    @value.setter
    def value(self, value: int) -> None:
        self._value = value

    @property
    @expose
    def fixed(self) -> str:
        return "fixed"

    @property
    def secret(self) -> str:
        self.ran.append("secret")
        return "secret"

    @functools.cached_property
    def computed(self) -> Any:
        self.ran.append("computed")
        return exposed_function


@expose
def exposed_function() -> str:
    return "attached"


@expose
class Whole:
    def method(self) -> int:
        return 1

    def _private(self) -> int:
        return 2

    @property
    def attribute(self) -> int:
        return 3

    constant = 4


class Derived(Whole):
    def method(self) -> int:
        return 10

    def other(self) -> int:
        return 11


def test_tables() -> None:
    table = members_of(Partly)
    assert table.methods == {"shown", "told", "__len__", "of_class", "of_nobody"}
    assert table.oneway == {"told"}
    assert set(table.attrs) == {"value", "fixed"}
    assert members_of(Partly) is table
    assert metadata_of(Whole()) == {"methods": {"method"}, "oneway": set(), "attrs": {"attribute"}}


def test_overriding_in_an_unexposed_subclass_hides() -> None:
    assert members_of(Derived).methods == set()
    assert set(members_of(Derived).attrs) == {"attribute"}


def test_without_required_exposure() -> None:
    table = members_of(Partly, False)
    assert {"shown", "hidden", "of_class"} <= table.methods
    assert "secret" in table.attrs
    assert not any(name.startswith("_") and name != "__len__" for name in table.methods)


def test_table_is_made_anew_after_reset() -> None:
    class Growing:
        pass

    assert members_of(Growing).methods == set()
    Growing.late = expose(lambda self: 1)  # type: ignore[attr-defined]
    Growing.late.__name__ = "late"  # type: ignore[attr-defined]
    assert members_of(Growing).methods == set()
    reset_members(Growing)
    assert members_of(Growing).methods == {"late"}


@pytest.mark.parametrize(
    ("name", "private"),
    [
        ("name", False), ("_name", True), ("__name", True), ("__len__", False), ("__dunder__", False), ("__init__", True),
        ("__class__", True), ("__dict__", True), ("__reduce__", True), ("__call__", True), ("__", True), ("____", True),
        ("__subclasses__", True), ("__globals__", True),
    ],
)  # fmt: skip
def test_private_names(name: str, private: bool) -> None:
    assert is_private_attribute(name) is private


def test_private_names_cannot_be_exposed() -> None:
    def _hidden() -> None: ...

    with pytest.raises(AttributeError, match="exposing private names"):
        expose(_hidden)
    with pytest.raises(AttributeError, match="exposing private names"):
        expose(type("_Hidden", (), {}))


def test_wrong_order_of_decorators() -> None:
    kinds: list[Callable[[Any], Any]] = [classmethod, staticmethod]
    for kind in kinds:
        with pytest.raises(AttributeError, match="must be done after"):
            expose(kind(lambda: None))
    with pytest.raises(AttributeError, match="can be exposed"):
        expose(3)


def test_methods() -> None:
    subject = Partly()
    assert resolve_method(subject, "shown")(3) == 3
    assert resolve_method(subject, "__len__")() == 5
    assert resolve_method(subject, "of_class")() == "Partly"
    assert resolve_method(subject, "of_nobody")() == "static"
    assert resolve_method(subject, "attached")() == "attached"
    assert resolve_method(subject, "hidden", False)() == "hidden"


@pytest.mark.parametrize(
    "name",
    ["hidden", "nothing", "_value", "__init__", "__class__", "__dict__", "plain", "value", "secret", "computed", "",
     "shown.__func__", "not_attached", "ran"],
)  # fmt: skip
def test_what_is_not_exposed_is_out_of_reach_and_runs_nothing(name: str) -> None:
    subject = Partly()
    with pytest.raises(AttributeError):
        resolve_method(subject, name)
    if name not in ("value", "fixed"):
        with pytest.raises(AttributeError):
            get_exposed_property(subject, name)
        with pytest.raises(AttributeError):
            set_exposed_property(subject, name, 1)
    assert subject.ran == []


def test_private_members_stay_out_of_reach_without_required_exposure() -> None:
    for name in ("_value", "__init__", "__class__", "__reduce__"):
        with pytest.raises(AttributeError):
            resolve_method(Partly(), name, False)
        with pytest.raises(AttributeError):
            get_exposed_property(Partly(), name, False)


def test_properties() -> None:
    subject = Partly()
    set_exposed_property(subject, "value", 8)
    assert get_exposed_property(subject, "value") == 8
    assert get_exposed_property(subject, "fixed") == "fixed"
    with pytest.raises(AttributeError, match="read-only"):
        set_exposed_property(subject, "fixed", 1)
    with pytest.raises(AttributeError):
        get_exposed_property(subject, 3)  # type: ignore[arg-type]


def test_details_for_help() -> None:
    for subject in (Partly(), Partly):
        details = details_of(subject)
        assert details["doc"] == "Exposes some members."
        assert details["members"]["shown"] == {
            "signature": "(size: 'int', *, fast: 'bool' = False) -> 'int'",
            "doc": "Return the size.",
        }
        assert details["members"]["of_class"]["signature"] == "() -> 'str'"
        assert details["members"]["value"]["doc"] == "The value."


def test_markers() -> None:
    @callback
    @oneway
    def function() -> None: ...

    marked: Any = function
    assert marked._pyroCallback
    assert marked._pyroOneway


def test_behavior() -> None:
    @behavior("percall")
    class Subject:
        pass

    assert Subject._pyroInstancing == ("percall", None)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="invalid instance mode"):
        behavior("sometimes")(Subject)
    with pytest.raises(TypeError, match="callable"):
        behavior("single", "no callable")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="only be used on a class"):
        behavior()(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="only be used on a class"):
        behavior("sometimes")(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(SyntaxError, match="missing argument"):
        behavior(Subject)  # type: ignore[arg-type]


class CallableValue:
    """Data of a class that can be called, such as a model. Says yes to whoever asks it for a mark."""

    def __call__(self) -> int:
        return 1

    def __getattr__(self, name: str) -> bool:
        return True


@dataclasses.dataclass(frozen=True)
class FrozenValue:
    def __call__(self) -> int:
        return 2


def test_only_functions_of_a_class_are_exposed() -> None:
    @urgent
    @expose
    class Machine:
        model = CallableValue()
        frozen = FrozenValue()
        now = staticmethod(time.time)
        table = Mock()

        def start(self) -> None: ...

        @staticmethod
        def static() -> None: ...

        @functools.lru_cache  # noqa: B019 - what Python binds like a function
        def cached(self) -> int:
            return 3

    assert members_of(Machine).methods == {"start", "static", "cached"}
    assert members_of(Machine).urgent == {"start", "static", "cached"}
    for name in ("model", "frozen", "now", "table"):
        with pytest.raises(AttributeError, match="unexposed"):
            resolve_method(Machine(), name)


def test_what_a_value_says_of_itself_is_no_mark() -> None:
    class Machine:
        table = Mock()

        def __init__(self) -> None:
            self.model = CallableValue()

        @expose
        def start(self) -> None: ...

    members: tuple[object, ...] = members_of(Machine)
    assert members == ({"start"}, {}, set(), set(), set())
    with pytest.raises(AttributeError, match="unexposed"):
        resolve_method(Machine(), "model")


@pytest.mark.parametrize("what", [CallableValue(), FrozenValue(), Mock(), time.time, 7])
def test_expose_says_what_it_takes(what: Any) -> None:
    with pytest.raises(AttributeError, match="only functions, methods, properties and classes"):
        expose(what)


def test_a_cached_property_is_exposed_as_a_property() -> None:
    @expose
    class Whole:
        @functools.cached_property
        def area(self) -> int:
            return 12

        @property
        def side(self) -> int:
            return 3

    class Partial:
        @functools.cached_property
        @expose
        def inside(self) -> int:
            return 1

        @expose  # type: ignore[prop-decorator]
        @functools.cached_property
        def outside(self) -> int:
            return 2

        @functools.cached_property
        def hidden(self) -> int:
            raise AssertionError

    assert set(members_of(Whole).attrs) == {"area", "side"}
    assert get_exposed_property(Whole(), "area") == 12
    with pytest.raises(AttributeError, match="read-only"):
        set_exposed_property(Whole(), "area", 1)
    assert set(members_of(Partial).attrs) == {"inside", "outside"}
    with pytest.raises(AttributeError, match="unexposed"):
        get_exposed_property(Partial(), "hidden")
    with pytest.raises(AttributeError, match="property, not a method"):
        resolve_method(Partial(), "hidden")


NOT_FORWARDED = ("await", "aiter", "anext", "aenter", "aexit", "next", "index", "buffer")


@pytest.mark.parametrize("name", NOT_FORWARDED)
def test_what_a_proxy_cannot_answer_is_refused_with_the_reason(name: str) -> None:
    def method(self: Any) -> None:
        raise AssertionError

    method.__name__ = f"__{name}__"
    with pytest.raises(AttributeError, match="every proxy would have to have it"):
        expose(method)
    cls = expose(type("Whole", (), {f"__{name}__": method, "public": lambda self: 1}))
    assert members_of(cls).methods == {"public"}, "a class may have it, for who uses it here"


def test_deleting_needs_a_deleter_of_an_exposed_property() -> None:
    class Owner:
        def __init__(self) -> None:
            self.deleted = False

        @property
        @expose
        def value(self) -> bool:
            return self.deleted

        @value.deleter
        def value(self) -> None:
            self.deleted = True

        @property
        @expose
        def lasting(self) -> int:
            return 1

        @property
        def hidden(self) -> int:
            return 1

        @hidden.deleter
        def hidden(self) -> None:
            raise AssertionError

    owner = Owner()
    delete_exposed_property(owner, "value")
    assert owner.deleted
    for name, text in (("lasting", "cannot be deleted"), ("hidden", "unexposed"), ("__class__", "private")):
        with pytest.raises(AttributeError, match=text):
            delete_exposed_property(owner, name)


# ---- what a class takes from others, and what it makes up ------------------------------------------------------------


class Lender:
    """Exposes nothing."""

    def lent(self) -> str:
        return "lent"

    @property
    def shown(self) -> str:
        return "shown"


@expose
class Borrower(Lender):
    alias = Lender.lent
    view = Lender.shown

    def own(self) -> str:
        return "own"

    def __len__(self) -> int:
        return 3


class OtherBorrower(Lender):
    pass


def test_an_exposed_alias_does_not_expose_the_function_of_another_class() -> None:
    assert members_of(Borrower).methods == {"alias", "own", "__len__"}
    assert set(members_of(Borrower).attrs) == {"view"}
    assert resolve_method(Borrower(), "alias")() == "lent"
    assert get_exposed_property(Borrower(), "view") == "shown"
    for kind in (Borrower, Lender, OtherBorrower):
        with pytest.raises(AttributeError):
            resolve_method(kind(), "lent")
        with pytest.raises(AttributeError):
            get_exposed_property(kind(), "shown")


def test_an_alias_that_is_overridden_is_not_exposed() -> None:
    class Heir(Borrower):
        def alias(self) -> str:
            return "another"

    assert members_of(Heir).methods == {"own", "__len__"}


def test_no_code_of_a_descriptor_runs_for_the_table() -> None:
    ran: list[str] = []

    class Computed:
        def __get__(self, instance: Any, owner: Any = None) -> Any:
            ran.append("computed")
            return exposed_function

    class Kind:
        computed = Computed()

        @functools.singledispatchmethod
        @expose
        def dispatched(self, value: Any) -> Any:
            return value

        @classmethod
        @expose
        async def of_class(cls) -> None:
            pass

    assert members_of(Kind).methods == {"dispatched", "of_class"}
    assert members_of(Kind).coroutines == {"of_class"}
    assert "computed" not in members_of(Kind, require_expose=False).methods
    assert ran == []
