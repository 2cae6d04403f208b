"""Runs cases, a JSON list of [kind, source, more] on stdin, and prints a JSON list of what came of each.

Arguments: the library, "real" or "facade", and the URI of `case_server.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from case_language import class_of, described, described_error, names_of  # type: ignore[import-not-found]

FORMATS = ("serpent", "json", "marshal", "msgpack")

library, facade, uri = sys.argv[1], sys.argv[2] == "facade", sys.argv[3]
names = names_of(library, facade)
names["uri"] = uri
names["config"].COMMTIMEOUT = 10.0


def proxy(serializer: str = "serpent") -> Any:
    connected = names["Proxy"](uri)
    connected._pyroSerializer = serializer
    return connected


kept = {name: proxy(name) for name in FORMATS}


def result_of(function: Callable[[], Any], told: Callable[[BaseException], str] = described_error) -> str:
    try:
        return str(described(function()))
    except Exception as error:
        remote = " with its traceback" if getattr(error, "_pyroTraceback", None) else ""
        return f"raises {told(error)}{remote}"


def value(source: str, formats: str) -> dict[str, str]:
    """Send it there, and have it sent from there."""
    found = {}
    for name in formats.split() or FORMATS:
        cases = kept[name]
        found[f"{name} there"] = result_of(lambda: cases.describe(eval(source, names)))  # noqa: B023
        found[f"{name} back"] = result_of(lambda: cases.make(source))  # noqa: B023
        if "raises" in found[f"{name} there"] + found[f"{name} back"]:
            cases._pyroRelease()  # real Pyro closes behind some errors
    return found


def error(source: str, formats: str) -> dict[str, str]:
    """Raise it there: in a method, and in the first format in a property, a stream and a batch as well."""
    found = {}
    for number, name in enumerate(formats.split() or FORMATS):
        with proxy(name) as cases:
            if number:
                found[f"{name} method"] = result_of(lambda: cases.make(source))
                continue
            cases.prepare(f"source = {source!r}\n")
            for what, act in (
                ("method", lambda: cases.make(source)),
                ("property", lambda: cases.failing),
                ("stream", lambda: list(cases.stream(source))),
                ("batch", lambda: in_batch(cases, source)),
            ):
                found[f"{name} {what}"] = result_of(act)
    return found


def in_batch(cases: Any, source: str) -> Any:
    batch = names["BatchProxy"](cases)
    batch.describe(1)
    batch.make(source)
    return list(batch())


def registered(source: str, more: str) -> dict[str, str]:
    """Run a source on both sides, then send what the expressions behind it make, and take both sides back."""
    expressions, _, undo = f"{more}\n".partition("\nundo\n")
    with proxy() as cases:
        cases.prepare(source)
        exec(source, names)
        found: dict[str, str] = {}
        for expression in expressions.splitlines():
            made = (error if expression.startswith("raised(") else value)(expression, "")
            found |= {f"{expression} {key}": what for key, what in made.items()}
        cases.prepare(undo)
        exec(undo, names)
    return found


def served(source: str, steps: str) -> dict[str, str]:
    """Serve what a source calls ``served``, and take steps with a proxy ``p`` to it."""
    with proxy() as cases:
        try:
            names["u"] = cases.serve(source)
        except Exception as error:
            return {"serve": f"raises {class_of(error)}"}
    with names["Proxy"](names["u"]) as names["p"]:
        return run_steps(steps)


def local(source: str, steps: str) -> dict[str, str]:
    """Run a source here, and take steps."""
    with proxy() as names["p"]:
        exec(source, names)
        return run_steps(steps)


def run_steps(steps: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, step in enumerate(filter(None, map(str.strip, steps.splitlines()))):
        try:
            code = compile(step, "step", "eval")
        except SyntaxError:
            code = compile(step, "step", "exec")
        found[f"{number} {step}"] = result_of(lambda: eval(code, names), class_of)  # noqa: B023
    return found


KINDS = {"value": value, "error": error, "registered": registered, "served": served, "local": local}

outcomes = []
for kind, source, more in json.load(sys.stdin):
    try:
        outcomes.append(KINDS[kind](source, more))
    except Exception as failure:
        outcomes.append({"case": f"raises {described_error(failure)}"})
print(json.dumps(outcomes))
