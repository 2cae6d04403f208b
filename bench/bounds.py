"""The bounds that fastpyro is held to (section 10 of the design), checked against the rows of one run."""

from __future__ import annotations

from collections.abc import Sequence

from report import Bound, Row

OURS = "fastpyro"
ECHO = 'echo("hello", 42, key=[1, 2, 3])'
APART = "null call, an end on each core"
ONE_CORE = "null call, both ends on one core, SPIN=0"
TWO_CORES = "null call, an end on each core, SPIN=0"


def check(rows: Sequence[Row]) -> list[Bound]:
    """Return every bound whose rows are there."""
    table = {(row.workload, row.transport, row.contender): row for row in rows}
    found: list[Bound] = []

    def figure(row: Row, rate: bool) -> float:
        return (row.rate or 0.0) if rate else row.median_us

    def text_of(row: Row, rate: bool) -> str:
        if not rate:
            return f"{row.median_us:.2f} us"
        if row.unit == "bytes/s":
            return f"{(row.rate or 0) / 1e9:.2f} GB/s"
        return f"{row.rate or 0:,.2f} {row.unit}" if row.unit == "KiB" else f"{row.rate or 0:,.0f} {row.unit}"

    def beside(title: str, transport: str, yardstick: tuple[str, str], limit: float, *, rate: bool = False) -> None:
        """Ours against another row: at most so many times its time, or at least so many times its rate."""
        ours, other = table.get((title, transport, OURS)), table.get((yardstick[0], transport, yardstick[1]))
        if ours is None or other is None:
            return
        ratio = figure(ours, rate) / figure(other, rate)
        met = ratio >= limit if rate else ratio <= limit
        name = f"{title}, {transport}" if transport else title
        found.append(Bound(name, yardstick[1], text_of(other, rate), text_of(ours, rate), ratio, limit, not rate, met))

    def absolute(title: str, limit: float) -> None:
        ours = table.get((title, "tcp", OURS))
        if ours is None or not ours.rate:
            return
        ratio = ours.rate / limit
        found.append(Bound(title, "figure", f"{limit:,.0f}", text_of(ours, True), ratio, 1.0, False, ratio >= 1))

    for title, limits in (("null call", (1.4, 1.8)), (ECHO, (1.5, 2.1))):
        for transport, limit in zip(("tcp", "unix"), limits, strict=True):
            beside(title, transport, (title, "C ping-pong, busy"), limit)
    for transport, limit in (("tcp", 1.35), ("unix", 1.5)):
        beside(ONE_CORE, transport, (ONE_CORE, "C ping-pong, blocking"), limit)
        beside(TWO_CORES, transport, (TWO_CORES, "C ping-pong, blocking"), 1.15)
    peers = {row.contender for row in rows} - {OURS}
    for peer in sorted(peer for peer in peers if not peer.startswith("C ")):
        # "By at least 4 times where two CPUs are free": where each end has one. The system likes to put the ends of
        # those who sleep on one, which saves them the wake-up; there it is enough to be faster.
        beside("null call", "tcp", ("null call", peer), 1.0)
        beside(APART, "tcp", (APART, peer), 0.25)
    absolute("batch of 1,000 x add(i, i), each", 1_500_000)
    beside("batch of 1,000 x add(i, i), each", "tcp", ("batch of 1,000 x add(i, i), each", "Pyro5"), 10, rate=True)
    absolute("items of a stream, each", 1_000_000)
    absolute("oneway burst, each", 500_000)
    beside("oneway burst, each", "tcp", ("oneway burst, each", "Pyro5"), 10, rate=True)
    absolute("16 client threads", 120_000)
    beside("connection + call + close", "tcp", ("connection + call + close", "C connection"), 0.5, rate=True)
    beside("connection + call + close", "tcp", ("connection + call + close", "Pyro5"), 4, rate=True)
    for transport in ("tcp", "unix"):
        beside("1,000 dicts of 4 fields, echo", transport, ("1,000 dicts of 4 fields, echo", "sockets + msgspec"), 1.2)
        for size in ("64 MiB", "8 MiB"):
            for way in ("up", "down", "echoed"):
                beside(f"{size} array {way}", transport, (f"{size} array {way}", "C stream"), 0.8, rate=True)
        for way in ("up", "down"):
            beside(f"64 MiB bytes {way}", transport, (f"64 MiB bytes {way}", "C stream, fresh memory"), 0.9, rate=True)
    beside("import", "", ("import", "Pyro5"), 0.5)
    _own(table, found, "16 client threads", "1 client thread", 1.0)
    _own(table, found, "futures, 100 in flight", "futures, 1 in flight", 4.0)
    for row in rows:
        if row.workload.startswith("memory of each") and row.rate is not None:
            met = row.rate <= 6
            found.append(Bound(row.workload, "figure", "6 KiB", f"{row.rate:.2f} KiB", row.rate / 6, 1.0, True, met))
        elif row.workload.endswith(" idle connections") and row.contender == OURS:
            beside(row.workload, "tcp", (row.workload, "fastpyro, no other connection"), 1.1)
    return found


def _own(table: dict[tuple[str, str, str], Row], found: list[Bound], title: str, base_title: str, limit: float) -> None:
    ours, base = table.get((title, "tcp", OURS)), table.get((base_title, "tcp", OURS))
    if ours is None or base is None or not ours.rate or not base.rate:
        return
    ratio = ours.rate / base.rate
    figures = f"{base.rate:,.0f} calls/s", f"{ours.rate:,.0f} calls/s"
    found.append(Bound(title, base_title, *figures, ratio, limit, False, ratio >= limit))
