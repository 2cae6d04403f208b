"""Holds the source tree to ARCHITECTURE.md: who may import whom, how long a file may be, what each module brings along.

The rules are the tables at the head of this file. A package, or a module outside of the packages, that is in none of them
fails: give it a place here and in ARCHITECTURE.md.
"""

from __future__ import annotations

import ast
import fnmatch
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "fastpyro"
CSRC = ROOT / "csrc" / "fastpyro"

# From the bottom up: packages, and modules outside of them. Each imports from its own layer and from those below.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"_version", "errors", "tracebacks", "config", "uri", "constants"})
    | frozenset({"_light_typing", "_lazy_logging", "_foreign_text", "_escapes", "_mutex", "_old_names", "_uri_parts"}),
    frozenset({"values"}),
    frozenset({"serializers"}),
    frozenset({"protocol"}),
    frozenset({"callcontext"}),
    frozenset({"futures"}),
    frozenset({"transport"}),
    frozenset({"client", "server"}),
    frozenset({"aio"}),
    frozenset({"naming"}),
    frozenset({"echo"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
    frozenset({"compat"}),
    frozenset({"", "core", "api"}),  # "" is fastpyro/__init__.py; the others are Pyro's names for it
)

# Neither imports the other.
SIDES = frozenset({"client", "server"})

# Imports inside functions that point up or to the other side, each with its reason.
LATE_IMPORTS: dict[tuple[str, str], str] = {
    ("server.daemon", "client.locate"): "serve and serveSimple announce what they serve",
}

# Packages that turn bytes into values and back, and must not know where the bytes come from.
SANS_IO = ("values", "serializers", "protocol")
INPUT_OUTPUT = re.compile(
    r"^\s*(?:from|cimport|import)\s+(?:posix\b|socket\b|select\b|selectors\b|os\b|\S*_posix\b)", re.M
)
KNOW_THE_SYSTEM: dict[str, str] = {
    "serializers/_blocks.pyx": "its thread asks the clock, and sleeps",
    "serializers/_pauses.pyx": "it asks the clock, and sleeps for a moment",
    "protocol/_time_limits.pyx": "it asks the clock when a limit is over",
    "values/ip_addresses.py": "the system reads the text of an address; nothing is sent",
}

# Modules without a test file of their own, each with its reason.
WITHOUT_TEST: dict[str, str] = {
    "_version": "one string",
    "constants": "numbers, which tests/protocol/test_assembler.py uses",
    "callcontext": "names of another module",
    "core": "names of other modules",
    "api": "names of other modules",
    "futures.chain_steps": "tests/futures/test_result.py has it through its face",
    "client.interfaces": "types only",
    "client.locate": "tests/client/test_resolver.py has its functions, too",
    "protocol._time_limits": "tests/protocol/test_time_limits.py has it through its face",
    "serializers._serpent_reader": "tests/serializers/test_serpent.py has it through its face",
    "serializers._serpent_writer": "tests/serializers/test_serpent.py has it through its face",
    "server.interfaces": "types only",
    "server.servers": "names of other modules, and one choice among them",
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
    when: str
    """When it happens: "early", with the module; "late", in a function; "types", for the type checker only."""


def module_name(path: Path, root: Path = PACKAGE) -> str:
    """Return the name of a module within the package, such as `naming.storage`."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room(module: str) -> str:
    """Return the name under which a module stands in the table of layers."""
    return module.partition(".")[0]


def python_modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def native_modules() -> list[Path]:
    return sorted(CSRC.rglob("*.pyx"))


def native_names() -> set[str]:
    return {module_name(path, CSRC) for path in native_modules()}


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(body: list[ast.stmt], when: str = "early") -> Iterator[tuple[ast.stmt, str]]:
    """Yield all statements, each with when it runs."""
    for node in body:
        yield node, when
        inside = "late" if when == "early" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else when
        for field in ("body", "orelse", "finalbody"):
            for_types = field == "body" and is_type_checking(node)
            yield from statements(getattr(node, field, []), "types" if for_types else inside)
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
    for node, when in statements(ast.parse(path.read_text(encoding="utf-8")).body):
        for imported in imported_names(path, node):
            yield Import(module_name(path), imported, getattr(node, "lineno", 0), when)


CYTHON_IMPORT = re.compile(r"^\s*from\s+fastpyro(?P<source>\S*)\s+c?import\s+\(?(?P<names>[^#\n]*)", re.MULTILINE)


def cython_imports(path: Path) -> Iterator[Import]:
    """Yield the imports of a .pyx or .pxd file, found by their lines: `ast` does not read Cython."""
    text = path.read_text(encoding="utf-8")
    for match in CYTHON_IMPORT.finditer(text):
        source = match["source"].removeprefix(".")
        names = [name.split()[0] for name in match["names"].split(",") if name.strip(" ()\\")]
        below = [name for name in (f"{source}.{one}".strip(".") for one in names) if is_module(f"fastpyro.{name}")]
        for name in below or [source]:
            if is_module(f"fastpyro.{name}"):  # what has no stub is a .pxd by itself: declarations of C
                yield Import(module_name(path, CSRC), name, text.count("\n", 0, match.start()) + 1, "early")


def all_imports() -> list[Import]:
    found = [one for path in python_modules() for one in python_imports(path)]
    found += [one for suffix in ("pyx", "pxd") for path in CSRC.rglob(f"*.{suffix}") for one in cython_imports(path)]
    return [one for one in found if one.importer != one.imported]


def between_rooms() -> list[Import]:
    """Return the imports between rooms that have a place; `test_every_module_has_a_place` reports the others."""
    known = frozenset().union(*LAYERS)
    ends = [(one, {room(one.importer), room(one.imported)}) for one in all_imports()]
    return [one for one, rooms in ends if len(rooms) == 2 and rooms <= known]


def level(module: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if room(module) in layer)


def points_up(one: Import) -> bool:
    return level(one.imported) > level(one.importer) or {room(one.importer), room(one.imported)} == SIDES


def report(imports: list[Import]) -> str:
    return "\n".join(f"{one.importer or '__init__'}:{one.line} imports {one.imported or 'fastpyro'}" for one in imports)


def circles(pairs: Iterable[tuple[str, str]]) -> set[frozenset[str]]:
    """Return the groups of nodes of a graph that reach each other."""
    graph: dict[str, set[str]] = {}
    for one, other in pairs:
        graph.setdefault(one, set()).add(other)
        graph.setdefault(other, set())

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting.extend(new)
        return seen

    reach = {node: reached(node) for node in graph}
    groups = {frozenset(other for other in reach[node] if node in reach[other]) for node in graph}
    return {group for group in groups if len(group) > 1}


def test_the_table_names_each_room_once() -> None:
    names = [name for layer in LAYERS for name in layer]
    assert len(names) == len(set(names))
    assert any(layer >= SIDES for layer in LAYERS)


def test_every_module_has_a_place_and_every_place_a_module() -> None:
    modules = {room(module_name(path)) for path in python_modules()} | {room(name) for name in native_names()}
    assert modules == frozenset().union(*LAYERS)


def test_imports_point_down() -> None:
    wrong = [one for one in between_rooms() if one.when != "late" and points_up(one)]
    assert not wrong, report(wrong)


def test_late_imports_against_the_arrows_are_listed() -> None:
    against = [one for one in between_rooms() if one.when == "late" and points_up(one)]
    wrong = [one for one in against if (one.importer, one.imported) not in LATE_IMPORTS]
    assert not wrong, report(wrong)
    assert set(LATE_IMPORTS) == {(one.importer, one.imported) for one in against}


def test_packages_make_no_circle() -> None:
    assert not circles((room(one.importer), room(one.imported)) for one in between_rooms())


def test_modules_make_no_circle() -> None:
    """Whenever an import happens: early, late, or for types only."""
    assert not circles((one.importer, one.imported) for one in all_imports())


def test_errors_import_nothing_native() -> None:
    assert not [one for one in all_imports() if one.importer == "errors" and one.imported in native_names()]


@pytest.mark.parametrize("package", SANS_IO)
def test_sans_io_packages_know_no_descriptor(package: str) -> None:
    sources = [*(CSRC / package).rglob("*.pyx"), *(PACKAGE / package).rglob("*.py")]
    knowing = {f"{package}/{path.name}" for path in sources if INPUT_OUTPUT.search(path.read_text(encoding="utf-8"))}
    assert knowing <= set(KNOW_THE_SYSTEM), f"{package} is bytes in, values out"


@pytest.mark.parametrize("path", native_modules(), ids=lambda path: module_name(path, CSRC))
def test_native_module_has_stub(path: Path) -> None:
    assert (PACKAGE / path.relative_to(CSRC)).with_suffix(".pyi").exists()


def expected_tests() -> list[Path]:
    """Return the test file that each module must have."""
    expected = {
        place_of_tests(path.relative_to(PACKAGE))
        for path in python_modules()
        if path.stem not in {"__init__", "__main__"} and module_name(path) not in WITHOUT_TEST
    }
    native = {
        place_of_tests(path.relative_to(CSRC))
        for path in native_modules()
        if module_name(path, CSRC) not in WITHOUT_TEST
    }
    return sorted(expected | native)


def place_of_tests(module: Path) -> Path:
    """Return where a module's tests are. A facade is a table of names, tried as a whole."""
    if module.parts[:2] in {("compat", "pyro4"), ("compat", "pyro5")}:
        return ROOT / "tests" / "compat" / f"test_{module.parts[1]}.py"
    return ROOT / "tests" / module.parent / f"test_{module.stem.lstrip('_')}.py"


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


CALL_FORM = re.compile(r"\b0x9[34]\b|\.(?:dumps|loads)_call\b|\bread_count\([^)]*\) != [34]\b")
PACKS_INVOKE = "client/_session.pyx"
KNOWS_THE_CALL_FORM: dict[str, str] = {
    "serializers/_call_form.pxd": "lays out and takes apart calls in our own format",
    "serializers/registry.py": "names what each format has for calls",
    "client/session.py": "encodes a call, in any format",
    "protocol/peer_batches.py": "encodes a batch in the formats of the peers, where it is a call",
    "server/_request.pyx": "reads a call, in any format",
}
"""Files that lay out or take apart calls, each with what it does. The facades hand on the functions, as Pyro's do."""


def sources_of(*packages: str) -> Iterator[tuple[str, str]]:
    """Yield the sources of packages, Python and Cython: path within the package, and text."""
    for root in (PACKAGE, CSRC):
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.suffix in {".py", ".pyx", ".pxd"} and name.split("/")[0] in packages:
                yield name, path.read_text(encoding="utf-8")


def test_requests_of_calls_are_packed_in_one_file() -> None:
    """On the way out: nobody else gives a message the kind INVOKE."""
    ways_out = ("client", "naming", "transport", "protocol", "serializers", "futures")
    assert {name for name, text in sources_of(*ways_out) if "MSG_INVOKE" in text} == {PACKS_INVOKE}


def test_the_form_of_calls_is_known_where_it_is_listed() -> None:
    rooms = ("client", "server", "naming", "transport", "protocol", "serializers")
    assert {name for name, text in sources_of(*rooms) if CALL_FORM.search(text)} == set(KNOWS_THE_CALL_FORM)


LOCKS = re.compile(
    r"\b(?:threading\.(?:R?Lock|Condition|(?:Bounded)?Semaphore|Barrier)|allocate_lock|queue\.\w*Queue)\("
)
LOCKS_OF_THE_STANDARD_LIBRARY: dict[str, str] = {
    "futures.thread_pool": "`wake` guards nothing: a thread waits at it, and whoever hands it work lets it go",
    "server.worker_threads": "the same",
}
"""Modules with such a lock, each with its reason. An interrupt may leave it locked for ever: ours is `_mutex.Mutex`."""


def test_locks_are_those_that_an_interrupt_does_not_leave_locked() -> None:
    found = {module_name(path) for path in python_modules() if LOCKS.search(path.read_text(encoding="utf-8"))}
    assert found <= set(LOCKS_OF_THE_STANDARD_LIBRARY)


MOST_LINES = 40
MOST_POSITIONAL = 5
PYROS_SIGNATURE = "Pyro's signature, by position"
LONG_FUNCTIONS: dict[str, str] = {}
"""Functions of more lines than MOST_LINES beside their docstring, each with its reason."""
MANY_ARGUMENTS: dict[str, str] = {
    "compat.pyro4.core.serveSimple": PYROS_SIGNATURE,
    "compat.pyro4.message.__init__": PYROS_SIGNATURE,
    "compat.pyro4.naming.startNS": PYROS_SIGNATURE,
    "compat.pyro4.naming.startNSloop": PYROS_SIGNATURE,
    "compat.pyro5.protocol.__init__": PYROS_SIGNATURE,
    "compat.shared.socket_helpers.create_socket": PYROS_SIGNATURE,
    "compat.shared.socket_helpers.get_ssl_context": PYROS_SIGNATURE,
    "naming.start.__init__": PYROS_SIGNATURE,
    "naming.start.start_ns": PYROS_SIGNATURE,
    "naming.start.start_ns_loop": PYROS_SIGNATURE,
    "server.daemon.__init__": PYROS_SIGNATURE,
    "server.daemon.serve": PYROS_SIGNATURE,
    "server.daemon.serve_simple": PYROS_SIGNATURE,
    "server.service._log_error": "the hook `methodcall_error_handler`, with Pyro's signature",
    "transport.tls.make_context": "the files and settings of TLS, each of them the name of a configuration item",
}
"""Functions with more positional parameters than MOST_POSITIONAL, each with its reason."""


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in python_modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{module_name(path)}.{node.name}", node


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    docstring = function.body[0] if ast.get_docstring(function) is not None else None
    own = 0 if docstring is None or docstring.end_lineno is None else docstring.end_lineno - docstring.lineno + 1
    return function.end_lineno - function.lineno + 1 - own


def test_functions_are_short() -> None:
    assert {name for name, function in functions() if lines_of(function) > MOST_LINES} == set(LONG_FUNCTIONS)


def test_functions_take_few_arguments_by_position() -> None:
    def positional(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
        return len([name for name in names if name not in {"self", "cls"}])

    assert {name for name, function in functions() if positional(function) > MOST_POSITIONAL} == set(MANY_ARGUMENTS)
