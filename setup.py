"""Compiles csrc/fastpyro/**/*.pyx into fastpyro/**/*.so; the metadata is in pyproject.toml."""

import os
import re
import sys
from pathlib import Path

from setuptools import Extension, setup

CSRC = Path("csrc")
CIMPORT = re.compile(r"^\s*from (fastpyro\S*) cimport", re.MULTILINE)
TRACE = os.environ.get("FASTPYRO_TRACE") == "1"  # line tracing, for coverage
SANITIZE = os.environ.get("FASTPYRO_SANITIZE") == "1"  # ASan and UBSan
DEBUG = os.environ.get("FASTPYRO_DEBUG") == "1"  # `assert` in .pyx files: what a function requires of who calls it
LEVEL = os.environ.get("FASTPYRO_OPTIMIZE", "3")  # of the C compiler: 1 takes half the time, for tests

DIRECTIVES = {"language_level": 3, "nonecheck": False, "embedsignature": False, "linetrace": TRACE}

if SANITIZE:
    COMPILE = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"]
    LINK = ["-fsanitize=address,undefined"]
else:
    COMPILE = [f"-O{LEVEL}", "-g0", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
    COMPILE += ["-Wno-unused-variable", "-Wno-unused-function"]  # an `assert` that is not compiled leaves some
    LINK = []
if os.environ.get("FASTPYRO_WERROR") == "1":  # for continuous integration; users have other compilers
    COMPILE.append("-Werror")
MACROS = [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")] if TRACE else []
if not DEBUG:
    MACROS.append(("CYTHON_WITHOUT_ASSERTIONS", "1"))


def declarations(source: Path) -> set[Path]:
    """Return the .pxd files that one Cython file is compiled with: its own, those that it cimports, and theirs."""
    found: set[Path] = set()
    waiting = [source]
    while waiting:
        looked_at = waiting.pop()
        names = [CSRC.joinpath(*name.split(".")) for name in CIMPORT.findall(looked_at.read_text())]
        for pxd in (looked_at, *names):
            pxd = pxd.with_suffix(".pxd")
            if pxd not in found and pxd.exists():
                found.add(pxd)
                waiting.append(pxd)
    return found


def extension(source: Path) -> Extension:
    """Describe the module that one .pyx file compiles to."""
    name = ".".join(source.relative_to(CSRC).with_suffix("").parts)
    ext = Extension(
        name,
        [str(source)],
        depends=sorted(map(str, declarations(source))),
        define_macros=MACROS,
        extra_compile_args=COMPILE,
        extra_link_args=LINK,
    )
    # setuptools passes .pyx files to Cython's build_ext, which reads these four.
    ext.cython_directives = DIRECTIVES
    ext.cython_include_dirs = [str(CSRC)]
    ext.cython_line_directives = SANITIZE  # reports name .pyx lines
    ext.cython_c_in_temp = not TRACE  # coverage needs the .c beside its .pyx
    return ext


# epoll is Linux's; elsewhere a selector of the standard library serves.
SOURCES = [source for source in sorted(CSRC.rglob("*.pyx")) if source.stem != "_poller" or sys.platform == "linux"]

setup(ext_modules=[extension(source) for source in SOURCES])
