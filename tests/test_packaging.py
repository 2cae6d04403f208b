"""What a user installs: an sdist from the tree, a wheel from the sdist outside git, and one call from the wheel.

It runs in folders of its own, so that neither the tree nor what is compiled in it can stand in for the wheel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CSRC = ROOT / "csrc" / "fastpyro"
NATIVE_NAMES = sorted(str(path.relative_to(CSRC).with_suffix("")) for path in CSRC.rglob("*.pyx"))

# Long enough to compile the native modules on a slow machine, and still a bound.
pytestmark = pytest.mark.timeout(600)

NOT_SOURCES = (
    ".git",
    ".venv*",
    "build",
    "dist",
    "site",
    "*.so",
    "*.egg-info",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
)

ONE_CALL = """
import sys
import threading
import fastpyro

@fastpyro.expose
class Greeter:
    def hello(self, name):
        return f"hello {name}"

with fastpyro.Daemon() as daemon:
    uri = daemon.register(Greeter)
    loop = threading.Thread(target=daemon.requestLoop, daemon=True)
    loop.start()
    with fastpyro.Proxy(uri) as greeter:
        print(greeter.hello("wheel"), fastpyro.__file__)
    daemon.shutdown()
    loop.join(30)
    sys.exit(loop.is_alive())
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command in a clean environment, show all that it said if it fails, and return its output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FASTPYRO_"))}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=clean, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(kind: str, source: Path, target: Path) -> Path:
    """Run one hook of the build backend, as `pip` does without build isolation, and return the file that it made."""
    script = f"import sys; from setuptools.build_meta import build_{kind} as build; build(sys.argv[1])"
    run(sys.executable, "-c", script, target, cwd=source)
    (built,) = target.iterdir()
    return built


def copy_tracked_files(target: Path) -> None:
    """Copy the sources, without version control and without anything that was built."""
    excludes = [f"--exclude={pattern}" for pattern in NOT_SOURCES]
    target.mkdir()
    archive = target.with_suffix(".tar")
    run("tar", *excludes, "-cf", archive, ".", cwd=ROOT)
    run("tar", "-xf", archive, cwd=target)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    copy_tracked_files(folder / "tree")
    (folder / "dist").mkdir()
    return build("sdist", folder / "tree", folder / "dist")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    (folder / "dist").mkdir()
    return build("wheel", unpacked, folder / "dist")


def test_sdist_has_everything_that_a_build_and_a_test_run_need(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert names >= {
        "setup.py",
        "pyproject.toml",
        "Makefile",
        "conftest.py",
        "LICENSE",
        "README.md",
        "csrc/fastpyro/__init__.pxd",
        "fastpyro/py.typed",
        "tests/conftest.py",
        "tests/typing/stubtest_allowlist.txt",
        "docs/mkdocs.yml",
        "examples/demo.py",
        ".ci/new_python",
        ".ci/run",
    }
    assert names >= {f"csrc/fastpyro/{name}.pyx" for name in NATIVE_NAMES}
    assert names >= {f"fastpyro/{name}.pyi" for name in NATIVE_NAMES}
    assert not [
        name for name in names if name.endswith((".so", ".pyc")) or (name.startswith("csrc/") and name[-2:] == ".c")
    ]


def test_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"fastpyro"}
    assert "fastpyro/py.typed" in names
    assert set(names) >= {str(path.relative_to(ROOT)) for path in (ROOT / "fastpyro").rglob("*.py")}
    assert not [name for name in names if name.endswith((".pyx", ".pxd", ".c"))]
    for native in NATIVE_NAMES:
        assert f"fastpyro/{native}.pyi" in names
        assert len([name for name in names if name.startswith(f"fastpyro/{native}.") and name.endswith(".so")]) == 1


def test_wheel_makes_a_call_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    install = ("install", "--no-index", "--no-deps", "--quiet", wheel)
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, *install, cwd=tmp_path)

    greeting, where = run(python, "-W", "error", "-c", ONE_CALL, cwd=tmp_path).split("wheel ")
    assert greeting == "hello "
    assert Path(where.strip()).is_relative_to(environment)
    assert "usage" in run(environment / "bin" / "fastpyro", "--help", cwd=tmp_path).lower()
