"""Runs the Python snippets of the documentation pages and of the README, and compares the results that they show.

The snippets of a page run in order, in one namespace. A comment before a snippet changes that:
``<!-- server -->``: it is a program of its own, started as a process; the URI behind "uri = " that it prints becomes
the variable ``uri`` of the snippets after it. ``<!-- not run: reason -->``: it is only compiled.
A line that ends in ``# → value`` is checked: the expression's repr must be that value.
"""

from __future__ import annotations

import ast
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from server_process import ServerProcess

import fastpyro

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "pages"
WITH_SNIPPETS = ["quickstart", "client", "asyncio", "server", "nameserver", "deadlines", "errors", "migrating"]
SNIPPET = re.compile(r"(?:^<!-- (?P<mark>[^\n]+?) -->\n)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^(?P<indent> *)(?P<code>\S.*?) +# → (?P<value>.+)$", re.MULTILINE)


class Snippet(NamedTuple):
    """A piece of code on a page: what its comment says, the code, and the line where it begins."""

    mark: str
    code: str
    line: int


def snippets_of(path: Path) -> list[Snippet]:
    text = path.read_text(encoding="utf-8")
    return [
        Snippet(match["mark"] or "", match["code"], text[: match.start("code")].count("\n"))
        for match in SNIPPET.finditer(text)
    ]


def check(found: object, value: str) -> None:
    """Compare a result with what the page shows."""
    assert repr(found) == value


def run(path: Path, folder: Path, environment: dict[str, str]) -> None:
    namespace: dict[str, Any] = {"__name__": "snippet", "_check": check}
    with ExitStack() as stack:
        for number, snippet in enumerate(snippets_of(path)):
            code = SHOWN.sub(
                lambda shown: f"{shown['indent']}_check({shown['code']}, {shown['value']!r})", snippet.code
            )
            compiled = compile("\n" * snippet.line + code, str(path), "exec")
            if snippet.mark.startswith("not run"):
                continue
            if snippet.mark == "server":
                program = folder / f"server{number}.py"
                program.write_text(snippet.code, encoding="utf-8")
                server = stack.enter_context(ServerProcess(program, environment=environment))
                namespace["uri"] = server.wait_for(r"uri = (PYRO:\S+)")[1]
                continue
            exec(compiled, namespace)


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Any:
    with ServerProcess("-m", "fastpyro", "ns", "-n", "127.0.0.1", "-p", "0") as process:
        host, port = process.wait_for(r"^URI = PYRO:Pyro.NameServer@(\S+):(\d+)").groups()
        monkeypatch.setenv("PYRO_NS_HOST", host)
        monkeypatch.setenv("PYRO_NS_PORT", port)
        fastpyro.config.reset()
        yield {"PYRO_NS_HOST": host, "PYRO_NS_PORT": port}
    monkeypatch.undo()
    fastpyro.config.reset()


@pytest.mark.parametrize("page", [*(PAGES / f"{name}.md" for name in WITH_SNIPPETS), ROOT / "README.md"], ids=str)
def test_snippets_run(page: Path, tmp_path: Path, name_server: dict[str, str]) -> None:
    assert snippets_of(page), "no snippet found"
    run(page, tmp_path, name_server)


def test_configuration_page_lists_every_item() -> None:
    from fastpyro.config import ITEMS

    text = (PAGES / "configuration.md").read_text(encoding="utf-8")
    for item in ITEMS:
        assert f"| `{item.name}` | `{item.default!r}` | {item.meaning} | {item.counts_from} |" in text


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8")
    for path in PAGES.glob("*.md"):
        assert f": {path.name}" in navigation


def test_the_names_of_the_pyro4_facade_are_listed() -> None:
    text = (PAGES / "compat-pyro4.md").read_text(encoding="utf-8")
    for path in (ROOT / "fastpyro" / "compat" / "pyro4").glob("*.py"):
        module = "Pyro4" if path.stem == "__init__" else f"Pyro4.{path.stem}"
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{module}` |")]
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                assert {f"`{name}`" for name in ast.literal_eval(node.value)} <= set(row.replace(",", "").split())
