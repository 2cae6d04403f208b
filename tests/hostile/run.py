"""Run all attacks with the exact bounds, print the figures, and write them as a table into docs/pages/security.md.

``make attack`` does that. Run it on a still machine: latencies are compared with those of the good client alone.
Exit status 0 when every attack was held.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "pages" / "security.md"
START, END = "<!-- attacks -->", "<!-- end of attacks -->"
MIB = 1 << 20
LIMIT = 900.0
"""Seconds for all of it."""


def row(figures: dict[str, Any]) -> str:
    """One line of the table."""
    cells = [
        figures["name"].replace("|", "/"),
        f"{figures['sent']:,}",
        f"{figures['peak'] / MIB:.0f}",
        f"{figures['p50'] / figures['alone_p50']:.1f} times",
        f"{figures['p99'] / figures['alone_p99']:.1f} times ({figures['p99']:.2f} ms)",
        f"{figures['admitted']:.0f} ms",
        "; ".join(figures["failures"]).replace("|", "/") or "held",
    ]
    return f"| {' | '.join(cells)} |"


def table(rows: list[dict[str, Any]]) -> str:
    held = sum(not one["failures"] for one in rows)
    head = [
        START,
        "",
        f"{held} of {len(rows)} measured attacks were held.",
        "",
        "| attack | bytes sent | memory, MiB | p50 | p99 | admitted within | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *map(row, rows), "", END])


def write(text: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + text + after, encoding="utf-8")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.jsonl"
        environment = {**os.environ, "FASTPYRO_ATTACK": "exact", "FASTPYRO_ATTACK_FIGURES": str(figures)}
        command = [sys.executable, "-m", "pytest", "-q", "--tb=line", str(ROOT / "tests" / "hostile"), *sys.argv[1:]]
        try:
            status = subprocess.run(command, cwd=ROOT, env=environment, timeout=LIMIT, check=False).returncode
        except subprocess.TimeoutExpired:
            print(f"not done after {LIMIT:.0f} seconds: the table has what was measured until then", file=sys.stderr)
            status = 1
        lines = figures.read_text(encoding="utf-8").splitlines() if figures.exists() else []
    rows = [json.loads(line) for line in lines]
    for one in rows:
        print(row(one))
    write(table(rows))
    return status


if __name__ == "__main__":
    sys.exit(main())
