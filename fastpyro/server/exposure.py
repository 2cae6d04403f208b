"""Which members of an object a client may use: the decorators that say it, and the tables that are made from them.

Rule 1: nothing whose name begins with an underscore is reachable, but for the dunder methods that Python's own syntax
        calls (such as ``__len__``) and that are exposed explicitly.
Rule 2: a name is one name: dots are never traversed.
Rule 3: every path (call, batch, attribute) comes through `resolve_method` or the two property functions.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cached_property, partialmethod, singledispatchmethod
from types import MethodType

from fastpyro._foreign_text import shown
from fastpyro._light_typing import TYPE_CHECKING, NamedTuple
from fastpyro.values.member_names import is_private_attribute

if TYPE_CHECKING:
    from typing import Any, TypeVar

__all__ = [
    "MemberTable",
    "behavior",
    "callback",
    "delete_exposed_property",
    "details_of",
    "expose",
    "get_exposed_property",
    "idempotent",
    "idempotent_marks",
    "idempotent_of",
    "is_private_attribute",
    "members_of",
    "metadata_of",
    "oneway",
    "reset_members",
    "resolve_method",
    "set_exposed_property",
    "urgent",
]

if TYPE_CHECKING:
    Anything = TypeVar("Anything")


CO_COROUTINE = 0x80
"""The flag of the code of an ``async def`` (``inspect`` takes long to import)."""

INSTANCE_MODES = ("single", "session", "percall")

_NEVER_FORWARDED = frozenset(
    f"__{name}__" for name in ("await", "aiter", "anext", "aenter", "aexit", "next", "index", "buffer")
)
"""Special methods that a proxy cannot have, because having them would make it something else for Python: an awaitable, an
iterator, an integer, a buffer."""


def expose(method_or_class: Anything) -> Anything:
    """Let clients use a method, a property, or all public members that a class itself defines.

    Put it inside (below) ``@classmethod``, ``@staticmethod`` and ``@property``. May be called on a class of somebody
    else's. Returns its argument. Raises AttributeError for private names and for a wrong order of decorators.
    """
    if isinstance(method_or_class, type):
        return _expose_class(method_or_class)  # type: ignore[return-value]
    if isinstance(method_or_class, classmethod | staticmethod):
        kind = type(method_or_class).__name__
        raise AttributeError(f"@{kind} must be done after @expose: put @expose below it")
    if isinstance(method_or_class, property | cached_property):
        _expose_property(method_or_class)
        return method_or_class
    name = getattr(method_or_class, "__name__", None)
    if type(name) is not str or not _is_function(method_or_class):
        raise AttributeError(f"only functions, methods, properties and classes can be exposed, not {method_or_class!r}")
    _check_public(name)
    if name in _NEVER_FORWARDED:
        raise AttributeError(
            f"{name} cannot be exposed: every proxy would have to have it, and Python would take all of them for what it is "
            "not. Expose a method of another name; an iterator that a method returns is a stream"
        )
    _tag(method_or_class)
    return method_or_class


def _check_public(name: str) -> None:
    if is_private_attribute(name):
        raise AttributeError(f"exposing private names (starting with _) is not allowed: {name}")


def _expose_property(member: Any) -> None:
    function = next(iter(_functions_of(member)), None)
    if function is not None:
        _check_public(function.__name__)
        _tag(function)


def _functions_of(member: Any) -> list[Any]:
    """Return the functions of a property, which have its marks."""
    names = ("func",) if isinstance(member, cached_property) else ("fget", "fset", "fdel")
    return [function for name in names if (function := getattr(member, name, None)) is not None]


def _is_function(member: Any) -> bool:
    """Whether a member is a function, or what Python binds like one; a callable object in a class is data of that class."""
    return callable(member) and not isinstance(member, type) and hasattr(type(member), "__get__")


def _marks_of(member: Any) -> dict[str, Any]:
    """Return what the decorators have noted on a function; nothing for other objects, whatever these say of themselves."""
    function = getattr(member, "__func__", member) if type(member) is MethodType else member
    return getattr(function, "__dict__", None) or {} if _is_function(function) else {}


def _tag(function: Any) -> None:
    if _is_function(function) and hasattr(function, "__dict__"):  # functions of C have no room for it, and are left out
        function._pyroExposed = True


def _expose_class(cls: type) -> type:
    _check_public(cls.__name__)
    aliases = set()
    for name, member in list(vars(cls).items()):
        if is_private_attribute(name) or name in _NEVER_FORWARDED:
            continue
        if isinstance(member, property | cached_property):
            functions = _functions_of(member)
        else:
            functions = [member.__func__ if isinstance(member, classmethod | staticmethod) else member]
        if any(_is_of_another_class(function, cls) for function in functions):
            aliases.add(name)
            continue
        for function in functions:
            _tag(function)
    cls._pyroExposedAliases = frozenset(aliases)  # type: ignore[attr-defined]
    cls._pyroExposed = True  # type: ignore[attr-defined]
    return cls


def _is_of_another_class(function: Any, cls: type) -> bool:
    """Whether a function was defined in the body of another class, which a mark on it would expose, too."""
    owner = getattr(function, "__qualname__", "").rpartition(".")[0] if _is_function(function) else ""
    if not owner or owner.endswith("<locals>"):
        return False
    return owner != cls.__qualname__ or getattr(function, "__module__", None) != cls.__module__


def oneway(method: Anything) -> Anything:
    """Mark a method as oneway: clients do not wait for it, and get neither its result nor its errors."""
    method._pyroOneway = True  # type: ignore[attr-defined]
    return method


def urgent(method_or_class: Anything) -> Anything:
    """Mark a method, a property, or all public members of a class as urgent, such as the method that stops a machine.

    On a server with threads it is run at once, even while slow calls of others take all places and more of them wait.
    A quarter of THREADPOOL_SIZE and two urgent calls may be slow at a time; those beyond wait in front of all others. It
    is exposed only if that is said, too. Returns its argument.
    """
    if isinstance(method_or_class, type):
        for name, member in list(vars(method_or_class).items()):
            if not is_private_attribute(name) and not isinstance(member, type):
                _mark_urgent(member)
    else:
        _mark_urgent(method_or_class)
    return method_or_class


def _mark_urgent(member: Any) -> None:
    if isinstance(member, property | cached_property):
        functions = _functions_of(member)
    else:
        functions = [getattr(member, "__func__", member)]
    for function in functions:
        if _is_function(function) and hasattr(function, "__dict__"):
            function._pyroUrgent = True


idempotent_marks: list[str] = []
"""What has been marked in this process; while that is nothing, nobody need look."""


def idempotent(method: Anything) -> Anything:
    """Mark a method that may as well run twice as once, such as one that reads, or sets a value.

    Clients that allow it (``_pyroMaxRetries``) make such a call again by themselves when they do not know whether it has
    run. Of an object with such methods they repeat no others, unless these have not begun. It is exposed only if that is
    said, too. Returns its argument. Raises AttributeError for what is no method.
    """
    function: Any = method.__func__ if isinstance(method, classmethod | staticmethod) else method
    if not _is_function(function) or not hasattr(function, "__dict__"):
        raise AttributeError(f"only methods can be idempotent, not {method!r}")
    function._pyroIdempotent = True
    idempotent_marks.append(function.__name__)
    return method


def callback(method: Anything) -> Anything:
    """Mark a method as a callback: its errors are also logged, with their traceback, in the process that defines it."""
    method._pyroCallback = True  # type: ignore[attr-defined]
    return method


def behavior(
    instance_mode: str = "session", instance_creator: Callable[[type], Any] | None = None
) -> Callable[[type], type]:
    """Say how a registered class becomes the instances that serve calls; a class decorator, written with parentheses.

    Arguments: ``instance_mode``, "single" (one instance a daemon), "session" (one a connection) or "percall";
    ``instance_creator``, called with the class instead of the class itself, returns the instance.
    """
    if not isinstance(instance_mode, str):
        raise SyntaxError("behavior decorator is missing argument(s): write @behavior(instance_mode=…)")
    if instance_creator is not None and not callable(instance_creator):
        raise TypeError("instance_creator must be a callable")

    def decorate(cls: type) -> type:
        if not isinstance(cls, type):
            raise TypeError("behavior decorator can only be used on a class")
        if instance_mode not in INSTANCE_MODES:
            raise ValueError(f"invalid instance mode: {instance_mode}; there are {', '.join(INSTANCE_MODES)}")
        cls._pyroInstancing = (instance_mode, instance_creator)  # type: ignore[attr-defined]
        return cls

    return decorate


class MemberTable(NamedTuple):
    """What clients may use of a class: names of methods, properties by name, and which methods are oneway.

    ``urgent`` members run whatever others do, and so do ``coroutines``, which occupy no thread.
    """

    methods: frozenset[str]
    attrs: dict[str, Any]
    oneway: frozenset[str]
    urgent: frozenset[str] = frozenset()
    coroutines: frozenset[str] = frozenset()


_tables: tuple[weakref.WeakKeyDictionary[type, MemberTable], weakref.WeakKeyDictionary[type, MemberTable]] = (
    weakref.WeakKeyDictionary(),
    weakref.WeakKeyDictionary(),
)


def members_of(cls: type, require_expose: bool = True) -> MemberTable:
    """Return the table of a class's members; made once, until ``reset_members``."""
    tables = _tables[bool(require_expose)]
    table = tables.get(cls)
    if table is None:
        table = tables[cls] = _make_table(cls, require_expose)
    return table


def reset_members(cls: type) -> None:
    """Forget the tables of a class, after its members have changed."""
    for tables in _tables:
        tables.pop(cls, None)


def _make_table(cls: type, require_expose: bool) -> MemberTable:
    methods: set[str] = set()
    oneway_names: set[str] = set()
    urgent_names: set[str] = set()
    coroutines: set[str] = set()
    attrs: dict[str, Any] = {}
    for name in dir(cls):
        if is_private_attribute(name):
            continue
        member, is_alias = _static_member(cls, name), _is_exposed_alias(cls, name)
        if _is_data_descriptor(member):
            marks = _marks_of(next(iter(_functions_of(member)), None))
            if not require_expose or is_alias or marks.get("_pyroExposed"):
                attrs[name] = member
                if marks.get("_pyroUrgent"):
                    urgent_names.add(name)
            continue
        member = _function_behind(member)
        if isinstance(member, type) or not callable(member):
            continue
        marks = _marks_of(member)
        if is_alias or marks.get("_pyroExposed") or (not require_expose and not name.startswith("__")):
            methods.add(name)
            if marks.get("_pyroOneway"):
                oneway_names.add(name)
            if marks.get("_pyroUrgent"):
                urgent_names.add(name)
            if getattr(getattr(member, "__code__", None), "co_flags", 0) & CO_COROUTINE:
                coroutines.add(name)
    return MemberTable(
        frozenset(methods), attrs, frozenset(oneway_names), frozenset(urgent_names), frozenset(coroutines)
    )


def idempotent_of(cls: type, require_expose: bool = True) -> set[str]:
    """Return the names of those methods of a class that may run twice."""
    methods = members_of(cls, require_expose).methods
    return {name for name in methods if _marks_of(_function_behind(_static_member(cls, name))).get("_pyroIdempotent")}


def _static_member(cls: type, name: str) -> Any:
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return None


def _is_exposed_alias(cls: type, name: str) -> bool:
    owner = next((base for base in cls.__mro__ if name in vars(base)), cls)
    return name in vars(owner).get("_pyroExposedAliases", ())


def _function_behind(member: Any) -> Any:
    """Return what a member of a class calls. Other descriptors are not run to find out: their code is not exposed."""
    if isinstance(member, classmethod | staticmethod):
        return member.__func__
    if isinstance(member, partialmethod | singledispatchmethod):
        return member.func
    return member


def _is_data_descriptor(member: Any) -> bool:
    kind = type(member)
    return (hasattr(kind, "__get__") and hasattr(kind, "__set__") and not callable(member)) or _is_cached(member)


def _is_cached(member: Any) -> bool:
    """Whether a member is computed when it is first asked for, and kept: an attribute that can be read."""
    return isinstance(member, cached_property)


def metadata_of(obj: Any, require_expose: bool = True) -> dict[str, set[str]]:
    """Return the names that a client may use of an object or class: sets "methods", "oneway" and "attrs"."""
    table = members_of(obj if isinstance(obj, type) else type(obj), require_expose)
    return {"methods": set(table.methods), "oneway": set(table.oneway), "attrs": set(table.attrs)}


def details_of(obj: Any, require_expose: bool = True) -> dict[str, Any]:
    """Return what help() shows: "doc" of the class, and "members": name → {"signature": text or None, "doc": …}."""
    import inspect

    cls = obj if isinstance(obj, type) else type(obj)
    table = members_of(cls, require_expose)
    members: dict[str, dict[str, str | None]] = {}
    for name in table.methods:
        function = getattr(obj, name)
        try:
            signature: str | None = _signature_text(inspect.signature(function), isinstance(obj, type), cls, name)
        except (TypeError, ValueError):
            signature = None
        members[name] = {"signature": signature, "doc": inspect.getdoc(function)}
    for name, descriptor in table.attrs.items():
        members[name] = {"signature": None, "doc": inspect.getdoc(descriptor)}
    return {"doc": inspect.getdoc(cls), "members": members}


def _signature_text(signature: Any, of_class: bool, cls: type, name: str) -> str:
    unbound = of_class and not isinstance(_static_member(cls, name), classmethod | staticmethod)
    parameters = list(signature.parameters.values())[1 if unbound else 0 :]
    return str(signature.replace(parameters=parameters))


def resolve_method(obj: Any, name: str, require_expose: bool = True) -> Callable[..., Any]:
    """Return the method that a client's call means.

    An attribute of the instance whose value was exposed is callable, too. Raises AttributeError for names that are
    private, unknown, or not exposed.
    """
    table = members_of(type(obj), require_expose)
    if name in table.methods:
        return getattr(obj, name)  # type: ignore[no-any-return]
    if is_private_attribute(name):
        raise AttributeError(f"attempt to access private attribute {shown(name)}")
    if name in table.attrs or _is_data_descriptor(_static_member(type(obj), name)):
        raise AttributeError(f"attempt to call attribute {shown(name)}, which is a property, not a method")
    # Looked up without running anything: asking for an unexposed name must not trigger a descriptor or __getattr__.
    value = getattr(obj, "__dict__", {}).get(name)
    if not require_expose:
        value = getattr(obj, name, None)
    if callable(value) and (not require_expose or _marks_of(value).get("_pyroExposed")) and not name.startswith("__"):
        return value  # type: ignore[no-any-return]
    raise AttributeError(f"attempt to access unexposed attribute {shown(name)} of {type(obj).__name__}")


def get_exposed_property(obj: Any, name: str, require_expose: bool = True) -> Any:
    """Return the value of an exposed property. Raises AttributeError for anything else, or what the property raises."""
    descriptor = _exposed_property(obj, name, require_expose)
    if getattr(descriptor, "fget", True) is None:
        raise AttributeError(f"attribute {shown(name)} of {type(obj).__name__} cannot be read")
    return getattr(obj, name)


def set_exposed_property(obj: Any, name: str, value: Any, require_expose: bool = True) -> None:
    """Set an exposed property. Raises AttributeError for anything else, or what the property raises."""
    descriptor = _exposed_property(obj, name, require_expose)
    if getattr(descriptor, "fset", True) is None or _is_cached(descriptor):
        raise AttributeError(f"attribute {shown(name)} of {type(obj).__name__} is read-only")
    setattr(obj, name, value)


def delete_exposed_property(obj: Any, name: str, require_expose: bool = True) -> None:
    """Delete an exposed property. Raises AttributeError for anything else, or what the property raises."""
    descriptor = _exposed_property(obj, name, require_expose)
    if getattr(descriptor, "fdel", None) is None:
        raise AttributeError(f"attribute {shown(name)} of {type(obj).__name__} cannot be deleted")
    delattr(obj, name)


def _exposed_property(obj: Any, name: str, require_expose: bool) -> Any:
    if type(name) is not str or is_private_attribute(name):
        raise AttributeError(f"attempt to access private attribute {shown(name)}")
    try:
        return members_of(type(obj), require_expose).attrs[name]
    except KeyError:
        raise AttributeError(
            f"attempt to access unexposed or unknown remote attribute {shown(name)} of {type(obj).__name__}"
        ) from None


def _get_attribute(target: Any, args: tuple[Any, ...], require_expose: bool) -> Any:
    (name,) = args
    return get_exposed_property(target, name, require_expose)


def _set_attribute(target: Any, args: tuple[Any, ...], require_expose: bool) -> None:
    name, value = args
    set_exposed_property(target, name, value, require_expose)


def _delete_attribute(target: Any, args: tuple[Any, ...], require_expose: bool) -> None:
    (name,) = args
    delete_exposed_property(target, name, require_expose)


ATTRIBUTE_METHODS: dict[str, Callable[..., Any]] = {
    "__getattr__": _get_attribute,
    "__setattr__": _set_attribute,
    "__delattr__": _delete_attribute,
}
"""The names of methods that stand for the use of an attribute: called with the object, their arguments, and whether only
what is exposed counts."""
