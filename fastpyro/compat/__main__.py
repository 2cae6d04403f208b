"""``python -m fastpyro.compat Pyro5 script.py arguments…`` or ``… Pyro5 -m module arguments…``: run a Pyro program."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from fastpyro.compat import FACADES, announce

USAGE = f"""usage: python -m fastpyro.compat {{{",".join(FACADES)}}} script.py [arguments]
       python -m fastpyro.compat {{{",".join(FACADES)}}} -m module [arguments]

Run a program that was written for Pyro5 or Pyro4 on fastpyro."""


def main(arguments: list[str]) -> None:
    """Run the program that the command line names. Exits with status 2 when it names none."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return
    module = arguments[1:2] == ["-m"]
    if not arguments or arguments[0] not in FACADES or len(arguments) < (3 if module else 2):
        print(USAGE, file=sys.stderr)
        raise SystemExit(2)
    announce(arguments[0])
    program = arguments[2 if module else 1]
    sys.argv = [program, *arguments[3 if module else 2 :]]
    if module:
        sys.path[0] = str(Path.cwd())
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(program).resolve().parent)
        runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
