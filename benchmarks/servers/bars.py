"""What was measured, and the bars that it is held against."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks.servers.contenders import Contender
from benchmarks.servers.load import Seen

__all__ = ["Line", "Verdict", "print_lines", "print_verdicts", "quickest_peer", "verdicts"]


@dataclass(frozen=True)
class Line:
    """One server under one load.

    Attributes:
        model: That was asked.
        contender: Its name and kind.
        connections: Open at once.
        seen: What came back.
        cpu_us: Processor time of the server for each request, in microseconds.
    """

    model: str
    contender: Contender
    connections: int
    seen: Seen
    cpu_us: float


@dataclass(frozen=True)
class Verdict:
    """One bar: what was wanted, what came."""

    what: str
    bar: str
    came: str
    met: bool


def verdicts(lines: list[Line]) -> Iterator[Verdict]:
    """The bars on throughput."""
    rate = {(its.model, its.contender.name, its.connections): its.seen.per_second for its in lines}
    kinds = {its.contender.name: its.contender.kind for its in lines}
    ours = rate["mlp", "ours", 16]
    for kind, bar in (("loop", 4), ("replication", 2)):
        best = max((rate["mlp", name, 16] for name in kinds if kinds[name] == kind), default=0)
        if best:
            times = ours / best
            yield Verdict(f"mlp, 16: best {kind} of the peers", f"{bar}x", f"{times:.1f}x", times >= bar)
    constant = ours / rate["constant", "ours", 16]
    yield Verdict("mlp, 16: of the constant route", "70 %", f"{constant:.0%}", constant >= 0.7)
    peers = [name for name in kinds if kinds[name] != "ours"]
    if peers:
        best = max(rate["digits", name, 16] for name in peers)
        times = rate["digits", "ours", 16] / best
        yield Verdict("digits, 16: fastest peer", "1x", f"{times:.1f}x", times >= 1)


def quickest_peer(lines: list[Line], model: str) -> Contender | None:
    """The peer with the least p50 of a single connection; None if there are no peers."""
    singles = [its for its in lines if (its.model, its.connections) == (model, 1)]
    p50 = [(its.seen.quantile_ms(0.5), its.contender) for its in singles if its.contender.kind != "ours"]
    return min(p50, key=lambda pair: pair[0])[1] if p50 else None


def print_lines(console: Console, lines: list[Line]) -> None:
    """The table of all loads."""
    heads = ("model", "server", "connections", "requests/s", "p50 ms", "p99 ms", "server CPU us", "other")
    table = Table(*heads, box=MARKDOWN)
    for its in lines:
        others = {status: n for status, n in its.seen.statuses.items() if status != 200}
        table.add_row(
            its.model,
            its.contender.name,
            str(its.connections),
            f"{its.seen.per_second:.0f}",
            f"{its.seen.quantile_ms(0.5):.2f}",
            f"{its.seen.quantile_ms(0.99):.2f}",
            f"{its.cpu_us:.0f}",
            str(others or ""),
        )
    console.print(table)


def print_verdicts(console: Console, found: list[Verdict]) -> None:
    """The table of the bars."""
    table = Table("what", "bar", "came", "met", box=MARKDOWN)
    for its in found:
        table.add_row(its.what, its.bar, its.came, "yes" if its.met else "**no**")
    console.print(table)
