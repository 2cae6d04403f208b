"""Holds the source tree to ARCHITECTURE.md: who may import whom, how long a file may be, what each module brings along.

The rules are the tables at the head of this file. A module that is in none of them fails: give it a place here and
in ARCHITECTURE.md.
"""

from __future__ import annotations

import ast
import fnmatch
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "fastpyro"
CSRC = ROOT / "csrc" / "fastpyro"

# From the bottom up. A module imports from its own layer and from those below; packages stand under their first name.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset(
        {"_version", "errors", "config", "uri", "message_kinds", "call_threads", "tracebacks", "checked", "time_zones"}
    )
    | frozenset({"_blocks", "_mutex", "_pusher", "light_typing", "lazy_logging", "foreign_text"})
    | frozenset({"declared_fields", "_memory_budget", "_tables", "serving_threads"}),
    frozenset({"_message", "_pyro4_message", "_wire", "_encoder", "_decoder"}),
    frozenset({"_codec", "_msgpack", "_serpent", "_serpent_reader", "_serpent_writer", "_marshal", "_json_scan"}),
    frozenset(
        {"_spin", "_stream", "_intake", "_output", "_message_stream", "_link", "_poller", "_batch", "_callcontext"}
    ),
    frozenset({"serializers", "class_registry", "remote_exceptions", "exposure", "callcontext"})
    | frozenset({"object_state", "standard_types", "numpy_types", "_proxy", "_requests"})
    | frozenset({"channel", "sockets", "poller", "signatures", "oneway_names"})
    | frozenset({"class_dicts", "text_codecs", "pickles", "compression", "tls", "trusted_peers"}),
    frozenset({"handshake", "connection", "blobs", "batch_values", "metadata", "registration"}),
    frozenset({"proxy", "remote_calls", "locate", "stream_result", "remote_method"})
    | frozenset({"dispatch", "instances", "streams", "coroutines"}),
    frozenset({"batch_proxy"}) | frozenset({"daemon", "daemon_object", "servers"}),
    frozenset({"futures", "future_result", "pipelined_calls", "async_proxy"}),
    frozenset({"naming"}),
    frozenset({"echo"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
    frozenset({"compat"}),
    frozenset({"", "core", "api"}),  # "" is fastpyro/__init__.py; the others are Pyro's names for it
)

# Neither side imports the other when it is imported itself.
CLIENT_SIDE = frozenset(
    {
        "_proxy",
        "proxy",
        "remote_calls",
        "locate",
        "stream_result",
        "remote_method",
        "oneway_names",
        "metadata",
        "batch_proxy",
        "futures",
        "future_result",
        "pipelined_calls",
        "async_proxy",
    }
)
SERVER_SIDE = frozenset(
    {"_requests", "daemon", "daemon_object", "servers", "dispatch", "instances", "streams", "coroutines"}
    | {"connection", "poller"}
)

# Imports inside functions that point up or to the other side, each with its reason.
LATE_IMPORTS: dict[tuple[str, str], str] = {
    ("batch_proxy", "futures"): "an asynchronous batch runs in the background",
    ("daemon", "locate"): "serve and serveSimple announce what they serve",
    ("proxy", "batch_proxy"): "Pyro's _pyroBatch is a method of the proxy",
    ("proxy", "async_proxy"): "Pyro's _pyroAsync is a method of the proxy",
}

# Native modules that turn bytes into values and back, and must not know where the bytes come from.
SANS_IO = frozenset({"_message", "_pyro4_message", "_wire", "_encoder", "_decoder", "_codec", "_batch"}) | frozenset(
    {
        "_msgpack",
        "_serpent",
        "_serpent_reader",
        "_serpent_writer",
        "_marshal",
        "_json_scan",
        "_memory_budget",
        "_tables",
    }
)
INPUT_OUTPUT = re.compile(r"^\s*(?:from|cimport|import)\s+(?:posix\b|socket\b|select\b|os\b|\S*_posix\b)", re.MULTILINE)

# Modules without a test file of their own, each with its reason.
WITHOUT_TEST: dict[str, str] = {
    "_version": "one string",
    "message_kinds": "numbers, which tests/test_wire.py uses",
    "_serpent_reader": "tests/test_serpent.py has it through its face",
    "_serpent_writer": "tests/test_serpent.py has it through its face",
    "core": "names of other modules",
    "api": "names of other modules",
}

LINE_LIMIT = 500
SOURCE_FOLDERS = ("fastpyro", "csrc", "tests", "bench", "examples")
SOURCE_SUFFIXES = {".py", ".pyi", ".pyx", ".pxd"}

TOP_LEVEL = frozenset(
    {
        ".ci",
        ".gitignore",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "MANIFEST.in",
        "Makefile",
        "README.md",
        "SECURITY.md",
        "bench",
        "conftest.py",
        "csrc",
        "docs",
        "examples",
        "fastpyro",
        "pyproject.toml",
        "setup.py",
        "tests",
    }
)
MADE_BY_SDIST = frozenset({"PKG-INFO", "setup.cfg"})


class Import(NamedTuple):
    """One import of a module of the package."""

    importer: str
    imported: str
    line: int
    late: bool
    """Whether it stands in a function, and so happens after all modules are there."""


def module_name(path: Path) -> str:
    """Return the name of a module within the package, such as `naming.storage`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room(module: str) -> str:
    """Return the name under which a module stands in the tables."""
    return module.partition(".")[0]


def python_modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def native_modules() -> list[Path]:
    return sorted(CSRC.glob("*.pyx"))


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(body: list[ast.stmt], late: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield all statements that run, each with whether it stands in a function."""
    for node in body:
        yield node, late
        inside = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for field in ("body", "orelse", "finalbody"):
            if not (field == "body" and is_type_checking(node)):
                yield from statements(getattr(node, field, []), inside)
        for branch in getattr(node, "handlers", []) + getattr(node, "cases", []):
            yield from statements(branch.body, inside)


def absolute_source(path: Path, node: ast.ImportFrom) -> str:
    """Return the full name that follows `from`, with its leading dots resolved."""
    if not node.level:
        return node.module or ""
    folder = ["fastpyro", *path.relative_to(PACKAGE).parent.parts]
    base = folder[: len(folder) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def imported_names(path: Path, node: ast.stmt) -> Iterator[str]:
    """Yield the names within the package of the modules that one statement imports."""
    if isinstance(node, ast.Import):
        full_names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        source = absolute_source(path, node)
        submodules = [f"{source}.{alias.name}" for alias in node.names if is_module(f"{source}.{alias.name}")]
        full_names = submodules or [source]
    else:
        return
    for name in full_names:
        if name.split(".")[0] == "fastpyro":
            yield name.removeprefix("fastpyro").removeprefix(".")


def is_module(full_name: str) -> bool:
    base = ROOT.joinpath(*full_name.split("."))
    return base.is_dir() or any(base.with_suffix(suffix).exists() for suffix in (".py", ".pyi"))


def python_imports(path: Path) -> Iterator[Import]:
    for node, late in statements(ast.parse(path.read_text(encoding="utf-8")).body):
        for imported in imported_names(path, node):
            yield Import(module_name(path), imported, getattr(node, "lineno", 0), late)


CYTHON_IMPORT = re.compile(r"^\s*(?:from\s+(?P<source>\S+)\s+)?c?import\s+\(?(?P<names>[^#\n]*)", re.MULTILINE)


def cython_imports(path: Path) -> Iterator[Import]:
    """Yield the imports of a .pyx file, found by their lines: `ast` does not read Cython."""
    text = path.read_text(encoding="utf-8")
    for match in CYTHON_IMPORT.finditer(text):
        names = [name.split()[0] for name in match["names"].split(",") if name.strip(" ()\\")]
        source = match["source"]
        if source and source not in {".", "fastpyro"}:
            names = [source]
        for name in names:
            stem = re.sub(r"^(fastpyro)?\.", "", name) if name.startswith((".", "fastpyro.")) else name
            if stem != name or source in {".", "fastpyro"}:
                yield Import(path.stem, stem, text.count("\n", 0, match.start()) + 1, late=False)


def all_imports() -> list[Import]:
    found = [one for path in python_modules() for one in python_imports(path)]
    found += [one for path in native_modules() for one in cython_imports(path)]
    helpers = {path.stem for path in CSRC.glob("*.pxd")} - {path.stem for path in native_modules()}
    return [one for one in found if room(one.importer) != room(one.imported) and one.imported not in helpers]


def level(module: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if room(module) in layer)


def crosses_sides(one: Import) -> bool:
    ends = {room(one.importer), room(one.imported)}
    return bool(ends & CLIENT_SIDE and ends & SERVER_SIDE) and len(ends) == 2


def placed(imports: list[Import]) -> list[Import]:
    """Return the imports between modules that have a place; `test_every_module_has_a_place` reports the others."""
    known = frozenset().union(*LAYERS)
    return [one for one in imports if {room(one.importer), room(one.imported)} <= known]


def report(imports: list[Import]) -> str:
    return "\n".join(f"{one.importer or '__init__'}:{one.line} imports {one.imported or 'fastpyro'}" for one in imports)


def test_the_tables_name_each_module_once() -> None:
    names = [name for layer in LAYERS for name in layer]
    assert len(names) == len(set(names))
    assert set(names) >= CLIENT_SIDE | SERVER_SIDE
    assert not CLIENT_SIDE & SERVER_SIDE


def test_every_module_has_a_place() -> None:
    modules = {room(module_name(path)) for path in python_modules()} | {path.stem for path in native_modules()}
    assert modules <= frozenset().union(*LAYERS)


def test_every_place_has_a_module() -> None:
    modules = {room(module_name(path)) for path in python_modules()} | {path.stem for path in native_modules()}
    assert frozenset().union(*LAYERS) <= modules


def test_imports_point_down() -> None:
    wrong = [one for one in placed(all_imports()) if not one.late and level(one.imported) > level(one.importer)]
    assert not wrong, report(wrong)


def test_client_and_server_do_not_import_each_other() -> None:
    wrong = [one for one in placed(all_imports()) if not one.late and crosses_sides(one)]
    assert not wrong, report(wrong)


def test_late_imports_against_the_arrows_are_listed() -> None:
    against = [
        one
        for one in placed(all_imports())
        if one.late and (crosses_sides(one) or level(one.imported) > level(one.importer))
    ]
    wrong = [one for one in against if (room(one.importer), room(one.imported)) not in LATE_IMPORTS]
    assert not wrong, report(wrong)
    unused = set(LATE_IMPORTS) - {(room(one.importer), room(one.imported)) for one in against}
    assert not unused


def test_imports_make_no_circle() -> None:
    waiting: dict[str, set[str]] = {}
    for one in placed(all_imports()):
        waiting.setdefault(room(one.imported), set())
        if not one.late:
            waiting.setdefault(room(one.importer), set()).add(room(one.imported))
    while free := {module for module, needs in waiting.items() if not needs}:
        waiting = {module: needs - free for module, needs in waiting.items() if module not in free}
    assert not waiting


def test_errors_import_nothing_native() -> None:
    native = {path.stem for path in native_modules()}
    assert not [one for one in all_imports() if one.importer == "errors" and one.imported in native]


@pytest.mark.parametrize("module", sorted(SANS_IO))
def test_sans_io_modules_know_no_descriptor(module: str) -> None:
    text = (CSRC / f"{module}.pyx").read_text(encoding="utf-8")
    assert not INPUT_OUTPUT.search(text), f"{module} is bytes in, values out"


@pytest.mark.parametrize("path", native_modules(), ids=lambda path: path.stem)
def test_native_module_has_stub(path: Path) -> None:
    assert (PACKAGE / f"{path.stem}.pyi").exists()


def expected_tests() -> list[Path]:
    """Return the test file that each module must have."""
    expected = {
        ROOT / "tests" / place_of_tests(path.relative_to(PACKAGE))
        for path in python_modules()
        if path.stem not in {"__init__", "__main__"} and module_name(path) not in WITHOUT_TEST
    }
    native = {ROOT / "tests" / f"test{path.stem}.py" for path in native_modules() if path.stem not in WITHOUT_TEST}
    return sorted(expected | native)


def place_of_tests(module: Path) -> Path:
    """Return where a module's tests are. A facade is a table of names, tried as a whole."""
    if module.parts[:2] in {("compat", "pyro4"), ("compat", "pyro5")}:
        return Path("compat") / f"test_{module.parts[1]}.py"
    return module.parent / f"test_{module.stem}.py"


@pytest.mark.parametrize("path", expected_tests(), ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_module_has_its_test_file(path: Path) -> None:
    assert path.exists(), f"no {path.relative_to(ROOT)}"


def test_files_are_short() -> None:
    too_long = {
        str(path.relative_to(ROOT)): count
        for folder in SOURCE_FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SOURCE_SUFFIXES and (count := len(path.read_text(encoding="utf-8").splitlines())) > LINE_LIMIT
    }
    assert not too_long


def top_level_names() -> set[str]:
    """Return what git tracks at the top; in an unpacked sdist, what lies there and is not ignored."""
    if (ROOT / ".git").exists():
        tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return {line.split("/")[0] for line in tracked.splitlines()}
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines() if line]
    names = {path.name for path in ROOT.iterdir()} - MADE_BY_SDIST
    return {name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)}


def test_top_level_is_exactly_as_agreed() -> None:
    assert top_level_names() == TOP_LEVEL
    assert {path.name for path in (ROOT / ".ci").iterdir()} == {"new_python", "run"}


LOCKS = re.compile(
    r"\b(?:threading\.(?:R?Lock|Condition|(?:Bounded)?Semaphore|Barrier)|allocate_lock|queue\.\w*Queue)\("
)
LOCKS_OF_THE_STANDARD_LIBRARY: dict[str, str] = {
    "call_threads": "`wake` guards nothing: a thread waits at it, and whoever hands it work lets it go",
    "servers.threaded": "not yet",
}
"""Modules with such a lock, each with its reason. An interrupt may leave it locked for ever: ours is `_mutex.Mutex`."""


def test_locks_are_those_that_an_interrupt_does_not_leave_locked() -> None:
    found = {module_name(path) for path in python_modules() if LOCKS.search(path.read_text(encoding="utf-8"))}
    assert found <= set(LOCKS_OF_THE_STANDARD_LIBRARY)
