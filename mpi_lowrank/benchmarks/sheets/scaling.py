"""The tables of the bench `scaling`."""

from mpi_lowrank.benchmarks.sheets import columns
from mpi_lowrank.benchmarks.sheets.sheet import Sheet, Told, of_table
from mpi_lowrank.report.layout import Column, Table, text, whole

TITLES = {
    "strong": "strong: the same workers on more ranks; Top-64 is gathered, the others Allreduced",
    "weak": "weak: 8 workers for each rank",
}


def tables(rows: list[Told]) -> list[Table]:
    shown = [
        Column("ranks", columns.of("ranks"), whole),
        Column("workers", columns.of("workers"), whole),
        Column("ms per round", columns.of("p50_seconds"), columns.milliseconds, timing=True),
        Column("speed-up", columns.of("speedup"), timing=True),
        Column("efficiency %", columns.of("efficiency"), _percents, timing=True),
        *columns.REPEATED,
        Column("oversubscribed", columns.of("oversubscribed"), text),
    ]
    return [Table(title, of_table(rows, kind), shown) for kind, title in TITLES.items()]


def _percents(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f}"


def verdict(rows: list[Told]) -> list[str]:
    told = []
    for kind in TITLES:
        own = [r for r in of_table(rows, kind) if "efficiency" in r and "oversubscribed" not in r]
        most = max((row.get("ranks", 0) for row in own), default=0)
        best = max((r for r in own if r.get("ranks") == most), key=_efficiency, default=None)
        if best:
            found = f"{best['label']} with {_percents(best['efficiency'])} %"
            told.append(f"{kind}: at {most} ranks, each with a core of its own, best is {found}.")
    if any("oversubscribed" in row for row in rows):
        told.append("Ranks that are more than the cores take turns: such rows tell no scaling.")
    return told


def _efficiency(row: Told) -> float:
    return float(row["efficiency"])


SCALING = Sheet(tables, verdict)
