"""Writes what a bench run measured: the tables in docs/pages/performance.md and the picture beside them.

Text in, files out: it measures nothing and knows no library but by its name. Two conventions of those names: a contender
that begins with "C " is a yardstick, and one that begins with "fastpyro" is ours.
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "pages" / "performance.md"
PICTURE = PAGE.with_suffix(".svg")
BEGIN = "<!-- bench: begin -->"
END = "<!-- bench: end -->"

PEERS = ("Pyro4", "Pyro5", "rpyc", "thriftpy2", "grpcio", "zerorpc", "pyzmq", "msgpack", "msgspec", "numpy")
"""Distributions whose versions belong under the figures."""

MOST_GROUPS = 6
"""How many groups of bars a picture shows when nobody chooses them: about one screen."""

NOTHING = "—"


class Row(NamedTuple):
    """What one contender needed for one workload."""

    workload: str
    transport: str
    contender: str
    median_us: float
    """Microseconds a call; nan where a time for each call says nothing."""
    p99_us: float
    cpu_us: float | None
    """User and system time of both processes for each call."""
    rate: float | None
    """Another figure, of which more is better when its unit ends with "/s" and less otherwise."""
    unit: str
    """The unit of `rate`; "bytes/s" is printed as GB/s."""
    note: str = ""


class Bound(NamedTuple):
    """One row of the contract and what came of it."""

    text: str
    yardstick: str
    yardstick_value: str
    measured: str
    ratio: float
    limit: float
    at_most: bool
    met: bool


class Group(NamedTuple):
    """The contenders of one workload over one transport, on one scale."""

    workload: str
    transport: str
    unit: str
    ours: list[tuple[str, float]]
    peers: list[tuple[str, float]]
    yardstick: tuple[str, float] | None
    """The best one, when there are several."""

    @property
    def more_is_better(self) -> bool:
        return is_rate(self.unit)

    @property
    def bars(self) -> list[tuple[str, float, bool]]:
        """Name, figure and whether it is ours: our own first, then the peers, the best first."""
        peers = sorted(self.peers, key=lambda bar: bar[1], reverse=self.more_is_better)
        return [(*bar, True) for bar in self.ours] + [(*bar, False) for bar in peers]


def write(
    rows: Sequence[Row],
    bounds: Sequence[Bound],
    *,
    page: Path = PAGE,
    picture: Path = PICTURE,
    pictured: Sequence[tuple[str, str]] | None = None,
) -> None:
    """Replace what stands between the markers of the page, and draw the picture that it shows.

    Arguments:
        rows: What was measured, in the order in which the workloads shall appear.
        bounds: The bounds, in their order.
        page: A Markdown file; the markers are added at its end when it has none.
        picture: The SVG file, in the folder of the page. It is removed when no row can be drawn.
        pictured: Pairs of workload and transport to draw. None takes the first transport of the first six workloads
            that have both one of our rows and one of a peer.

    Raises:
        ValueError: The page has one marker of the two, or the end before the beginning; nothing was written.
    """
    groups = pictured_groups(rows, pictured)
    show = [f"![{description(groups)}]({picture.name})", ""] if groups else []
    parts = [*facts_lines(machine_facts()), *show, *bound_lines(bounds), *workload_lines(rows)]
    text = page.read_text(encoding="utf-8") if page.exists() else "# Performance\n"
    page.write_text(between_markers(text, "\n".join(parts).strip()), encoding="utf-8")
    if groups:
        picture.write_text(draw(groups), encoding="utf-8")
    else:
        picture.unlink(missing_ok=True)


def between_markers(text: str, content: str) -> str:
    """Return the text with other content between its markers."""
    if BEGIN not in text and END not in text:
        return f"{text.rstrip()}\n\n## The last run\n\n{BEGIN}\n\n{content}\n\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs {BEGIN} and after it {END}; add the missing one, or remove the other")
    return f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"


def is_yardstick(contender: str) -> bool:
    return contender.startswith("C ")


def is_ours(contender: str) -> bool:
    return contender.startswith("fastpyro")


def is_rate(unit: str) -> bool:
    return unit.endswith("/s")


def number(value: float) -> str:
    """Three digits that matter, or all of them before the point."""
    if not math.isfinite(value):
        return NOTHING
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def figure(value: float | None, unit: str) -> str:
    """A figure with its unit; large ones in thousands of thousands."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if unit in ("bytes/s", "B/s"):
        return f"{number(value / 1e9)} GB/s"
    if value >= 1e6:
        return f"{number(value / 1e6)} million {unit}"
    return f"{number(value)} {unit}".strip()


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table without the columns that hold nothing."""
    filled = [line for line in lines]
    kept = [place for place in range(len(heads)) if any(line[place] not in ("", NOTHING) for line in filled)]
    rows = [heads, ["---"] * len(heads), *([cell(text) for text in line] for line in filled)]
    return ["| " + " | ".join(row[place] for place in kept) + " |" for row in rows] + [""]


def cpu_model() -> str:
    """What /proc/cpuinfo says of the first CPU."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    named = {name.strip(): value.strip() for name, value in fields.items()}
    virtual = ", virtual machine" if "hypervisor" in named.get("flags", "").split() else ""
    return named.get("model name", platform.machine()) + virtual


def git(*arguments: str) -> str:
    """What git says, or nothing where the tree is none of git's."""
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def commit() -> str:
    """The commit that was measured, and whether code differs from it; the pages of the last run don't count."""
    changed = git("status", "--porcelain", "--", "fastpyro", "csrc", "bench", "setup.py")
    return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def installed(names: Iterable[str]) -> str:
    """Name the distributions of these that are installed, with their versions."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue  # the run went without it
    return ", ".join(found)


def machine_facts() -> dict[str, str]:
    """Return what a reader must know to compare the figures with those of another machine."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    build = platform.python_compiler()
    return {
        "CPU": cpu_model(),
        "CPUs for this run": str(usable),
        "System": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()} ({build})",
        "Commit": commit(),
        "Peers": installed(PEERS),
        "Date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def facts_lines(facts: Mapping[str, str]) -> list[str]:
    return table(("the machine", ""), [(name, value) for name, value in facts.items() if value])


def bound_lines(bounds: Sequence[Bound]) -> list[str]:
    """Return the table of bounds under a sentence that counts them."""
    if not bounds:
        return []
    met = sum(bound.met for bound in bounds)
    lines = [
        (
            bound.text,
            f"{bound.yardstick} {bound.yardstick_value}".replace(f"{NOTHING} {NOTHING}", NOTHING).strip(),
            bound.measured,
            number(bound.ratio),
            f"{'≤' if bound.at_most else '≥'} {number(bound.limit)}",
            "yes" if bound.met else "**no**",
        )
        for bound in bounds
    ]
    heads = ("bound", "yardstick in the same run", "measured", "ratio", "limit", "met")
    return ["### Bounds", "", f"{met} of {len(bounds)} are met.", "", *table(heads, lines)]


def figure_of(row: Row, unit: str) -> float:
    """The figure that is compared: the one of this unit, else the median."""
    return (math.nan if row.rate is None else row.rate) if unit else row.median_us


def compared_unit(rows: Sequence[Row]) -> str:
    """Return the unit that rows can be compared in, "" for the median; rows without any figure have no say."""
    timed = [row for row in rows if row.median_us > 0]
    rated = [row for row in rows if row.rate is not None and math.isfinite(row.rate)]
    units = {row.unit for row in rated}
    return units.pop() if len(units) == 1 and len(rated) > len(timed) else ""


def times_ours(row: Row, ours: Row | None, unit: str) -> str:
    """How many times as slow (or as big) as ours a row is."""
    if ours is None or row is ours:
        return ""
    theirs, own = figure_of(row, unit), figure_of(ours, unit)
    if not (math.isfinite(theirs) and math.isfinite(own) and theirs > 0 and own > 0):
        return ""
    return number(own / theirs if is_rate(unit) else theirs / own)


def best_first(rows: Sequence[Row], unit: str) -> list[Row]:
    """The yardsticks, then ours, both as they came, then the peers from the best to the worst."""

    def place(row: Row) -> tuple[int, float]:
        if is_yardstick(row.contender) or is_ours(row.contender):
            return (int(is_ours(row.contender)), 0.0)
        value = figure_of(row, unit)
        return (2, math.inf if math.isnan(value) else -value if is_rate(unit) else value)

    return sorted(rows, key=place)


def by_transport(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Sort rows into workloads and transports; the order is that of their first rows."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.workload, row.transport), []).append(row)
    return groups


def workload_lines(rows: Sequence[Row]) -> list[str]:
    """Return a heading and a table for each workload."""
    heads = ("transport", "contender", "median µs", "p99 µs", "CPU µs", "figure", "times fastpyro's", "note")
    tables: dict[str, list[tuple[str, ...]]] = {}
    for (workload, transport), members in by_transport(rows).items():
        unit = compared_unit(members)
        ours = next((row for row in members if is_ours(row.contender)), None)
        for place, row in enumerate(best_first(members, unit)):
            name = f"**{row.contender}**" if is_ours(row.contender) else row.contender
            times = [number(value) if value else NOTHING for value in (row.median_us, row.p99_us, row.cpu_us)]
            last = (figure(row.rate, row.unit), times_ours(row, ours, unit), row.note)
            tables.setdefault(workload, []).append((transport if place == 0 else "", name, *times, *last))
    return [line for name, lines in tables.items() for line in (f"### {cell(name)}", "", *table(heads, lines))]


# The picture


def group_of(rows: Sequence[Row]) -> Group | None:
    """Return the bars of one workload and transport, or None when there is nobody to compare ours with."""
    unit = compared_unit(rows)
    figures = [(row.contender, figure_of(row, unit)) for row in rows]
    drawn = [(name, value) for name, value in figures if math.isfinite(value) and value > 0]
    ours = [bar for bar in drawn if is_ours(bar[0])]
    peers = [bar for bar in drawn if not is_ours(bar[0]) and not is_yardstick(bar[0])]
    if not ours or not peers:
        return None
    yardsticks = sorted((bar for bar in drawn if is_yardstick(bar[0])), key=lambda bar: bar[1], reverse=is_rate(unit))
    return Group(rows[0].workload, rows[0].transport, unit or "µs", ours, peers, next(iter(yardsticks), None))


def pictured_groups(rows: Sequence[Row], chosen: Sequence[tuple[str, str]] | None) -> list[Group]:
    """Return the groups to draw: the chosen ones, or the first transport of the first workloads."""
    groups = {key: group for key, members in by_transport(rows).items() if (group := group_of(members))}
    if chosen is not None:
        return [groups[key] for key in chosen if key in groups]
    first: dict[str, Group] = {}
    for (workload, _), group in groups.items():
        first.setdefault(workload, group)
    return list(first.values())[:MOST_GROUPS]


def description(groups: Sequence[Group]) -> str:
    """The picture in words, for those who don't see it."""
    names = ", ".join(f"{plain(group.workload)} over {group.transport}" for group in groups)
    return "Bar chart of fastpyro beside other libraries: " + names.replace("[", "(").replace("]", ")")


WIDTH = 800
LABELS = 190
BAR_ROOM = 420
LINE = 21
BAR = 14
HEAD = 30
GAP = 20
MARGIN = 20

# The card brings its own background, so it is read on pages of either colour, whichever of the two sets applies.
SVG_STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
.card { fill: #ffffff; stroke: #d1d9e0 }
.head { font-size: 14px; font-weight: 600 }
.quiet { fill: #59636e }
.ours { font-weight: 600 }
.value { stroke: #ffffff; stroke-width: 4; paint-order: stroke }
.bar { fill: #b3bcc6 }
.bar.ours { fill: #0969da }
.axis { stroke: #d1d9e0 }
.floor { stroke: #bc4c00; stroke-width: 1.5; stroke-dasharray: 4 3 }
text.floor-name { fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .card { fill: #161b22; stroke: #3d444d }
  .quiet { fill: #9198a1 }
  .value { stroke: #161b22 }
  .bar { fill: #59636e }
  .bar.ours { fill: #58a6ff }
  .axis { stroke: #3d444d }
  .floor { stroke: #f0883e }
  text.floor-name { fill: #f0883e }
}"""


def plain(text: str) -> str:
    return text.replace("`", "")


def svg_text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(plain(text))}</text>'


def group_height(group: Group) -> int:
    return HEAD + LINE * (len(group.bars) + (group.yardstick is not None)) + GAP


def draw_yardstick(group: Group, top: float, scale: float) -> list[str]:
    """Return the line across a group's bars, with its name at the foot on the side that has room."""
    if group.yardstick is None:
        return []
    name, value = group.yardstick
    x, bottom = MARGIN + LABELS + value * scale, top + LINE * (len(group.bars) + 1)
    side, anchor = (5, "start") if value * scale < BAR_ROOM / 2 else (-5, "end")
    return [
        f'<line x1="{x:.1f}" y1="{top - 4:.1f}" x2="{x:.1f}" y2="{bottom - 6:.1f}" class="floor"/>',
        svg_text(x + side, bottom - 8, f"{name}: {figure(value, group.unit)}", "floor-name", anchor),
    ]


def draw_group(group: Group, top: float) -> list[str]:
    """Return one group's elements: its head, its bars on a scale from zero, and the yardstick's line across them."""
    left, first = MARGIN + LABELS, top + HEAD
    values = [value for _, value, _ in group.bars] + ([group.yardstick[1]] if group.yardstick else [])
    scale = BAR_ROOM / max(values)
    bars, figures = [], []
    for place, (name, value, ours) in enumerate(group.bars):
        y, width, kind = first + LINE * place, max(2.0, value * scale), "ours" if ours else ""
        bars += [
            svg_text(left - 8, y + 11, name, kind, "end"),
            f'<rect x="{left}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" rx="2" class="bar {kind}"/>',
        ]
        figures.append(svg_text(left + width + 6, y + 11, figure(value, group.unit), f"value {kind}"))
    bottom = first + LINE * len(group.bars)
    return [
        svg_text(MARGIN, top + 16, f"{group.workload} · {group.transport}", "head"),
        svg_text(
            WIDTH - MARGIN,
            top + 16,
            "longer is better" if group.more_is_better else "shorter is better",
            "quiet",
            "end",
        ),
        f'<line x1="{left}" y1="{first - 4:.1f}" x2="{left}" y2="{bottom - 4:.1f}" class="axis"/>',
        *bars,
        *draw_yardstick(group, first, scale),
        *figures,  # last, so that no line runs through them
    ]


def draw(groups: Sequence[Group]) -> str:
    """Return an SVG document with a group of bars for each workload, one below the other."""
    height = 2 * MARGIN - GAP + sum(group_height(group) for group in groups)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img">',
        f"<title>{escape(description(groups))}</title>",
        f"<style>{SVG_STYLE}\n</style>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="card"/>',
    ]
    top = float(MARGIN)
    for group in groups:
        parts += draw_group(group, top)
        top += group_height(group)
    return "\n".join([*parts, "</svg>", ""])
