"""The names in which cases are written, for one library: real, or its facade. Run with plain sys.path, by both sides."""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any

NUMBERS = re.compile(
    r"0x[0-9a-f]+|(?<=owner )(?:\d+|<greenlet[^>]*>)|(?<=:)\d{2,5}\b|(?<=obj_)[0-9a-f]{32}"
)  # the owner of Pyro5's proxies is a greenlet where that is installed
"""What differs from run to run: addresses, ports, made-up ids."""
MODULES = """
    array collections copy dataclasses datetime decimal enum fractions functools ipaddress math pathlib pickle queue
    re socket sqlite3 subprocess threading time types typing uuid zoneinfo
"""
NAMES = "Proxy Daemon URI SerializedBlob expose oneway behavior callback current_context config"


def names_of(library: str, facade: bool) -> dict[str, Any]:
    """Return what a case's source may use: the library under Pyro5's names, and modules of the standard library."""
    if facade:
        importlib.import_module("fastpyro.compat").install(library)
    sources = [importlib.import_module("Pyro5.api")] if library == "Pyro5" else []
    if library == "Pyro4":
        sources = [importlib.import_module(name) for name in ("Pyro4.core", "Pyro4", "Pyro4.util", "Pyro4.errors")]
        converters = sources[2].SerializerBase
    else:
        converters = importlib.import_module("Pyro5.serializers").SerializerBase
    found: dict[str, Any] = {name: importlib.import_module(name) for name in MODULES.split()}
    for name in NAMES.split():
        found[name] = next(getattr(source, name) for source in sources if hasattr(source, name))
    found["BatchProxy"] = getattr(sources[0], "BatchProxy", None) or importlib.import_module("Pyro4").batch
    found["errors"] = importlib.import_module(f"{library}.errors")
    for name in (
        "register_class_to_dict",
        "unregister_class_to_dict",
        "register_dict_to_class",
        "unregister_dict_to_class",
    ):
        found[name] = getattr(converters, name)
    if library == "Pyro4":
        found["config"].SERIALIZERS_ACCEPTED = {"serpent", "json", "marshal", "msgpack"}
    found["__name__"] = "cases"
    found["raised"] = raised
    sys.modules["cases"] = cases = type(sys)("cases")
    cases.__dict__.update(found)
    return cases.__dict__


def raised(error: BaseException) -> Any:
    """Raise it, where only an expression may stand."""
    raise error


def described(value: Any, depth: int = 0) -> str:
    """Return a text of a value with the type of all that is in it, the same for equal values."""
    kind = type(value).__name__
    if depth > 250:
        return "…"
    if isinstance(value, dict):
        pairs = [f"{described(key, depth + 1)}: {described(held, depth + 1)}" for key, held in value.items()]
        return f"{kind}{{{', '.join(pairs)}}}"
    if isinstance(value, set | frozenset):
        return f"{kind}({', '.join(sorted(described(item, depth + 1) for item in value))})"
    if isinstance(value, list | tuple):
        return f"{kind}[{', '.join(described(item, depth + 1) for item in value)}]"
    if isinstance(value, BaseException):
        return described_error(value)
    if kind in ("RemoteMethod", "_RemoteMethod"):
        return "remote method"
    if kind in ("Proxy", "URI"):
        return without_numbers(f"{kind} {getattr(value, '_pyroUri', value)}")
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | bytearray):
        return without_numbers(f"{kind} {value!r}")
    if hasattr(value, "__next__"):
        return f"iterator[{', '.join(described(item) for item in value)}]"
    state = getattr(value, "__dict__", None)
    return without_numbers(f"{kind} {described(state, depth + 1) if state else repr(value)}")


def described_error(error: BaseException) -> str:
    """Return an error's class, arguments and attributes; only the class of Pyro's own, whose words are its library's."""
    kind = type(error)
    if kind.__module__.partition(".")[0] in ("fastpyro", "Pyro4", "Pyro5", "serpent"):
        return f"a {kind.__name__}"
    state = {key: value for key, value in vars(error).items() if key not in ("_pyroTraceback", "__notes__")}
    text = str(error) if isinstance(error, OSError) else ""
    return f"{kind.__name__}({described(error.args)}, {described(state)}{text})"


def class_of(error: BaseException) -> str:
    """Return what a program can catch it as."""
    return f"a {type(error).__name__}"


def without_numbers(text: str) -> str:
    return NUMBERS.sub("…", text)
