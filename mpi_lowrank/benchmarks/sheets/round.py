"""The tables of the bench `round`."""

from mpi_lowrank.benchmarks.sheets import columns
from mpi_lowrank.benchmarks.sheets.sheet import Sheet, Told, of_table
from mpi_lowrank.machine.clock import METHOD
from mpi_lowrank.report.layout import Column, Table
from mpi_lowrank.report.numbers import short

COMPARED = "EF21 with Top-1 on mushrooms, medians of runs"
PARTS = (
    "us per round; in MPI and wait are within the exchange, overhead is within it and the update"
)
SHOWN = 16
"""Ranks that a table shows; of more the mean alone."""


def tables(rows: list[Told]) -> list[Table]:
    compared = [
        Column("us per round", columns.of("p50_seconds"), columns.microseconds, timing=True),
        Column("p95", columns.of("p95_seconds"), columns.microseconds, timing=True),
        Column("script / it", columns.of("ratio"), timing=True),
        *columns.REPEATED,
    ]
    parts = of_table(rows, "parts")
    shown = parts if len(parts) <= SHOWN + 1 else parts[:1]
    return [
        Table(COMPARED, of_table(rows, "compared"), compared, "round"),
        Table(PARTS, shown, [*map(_part, METHOD), *INSIDE], "rank"),
    ]


def _part(name: str, heading: str = "") -> Column:
    return Column(heading or name, columns.of(f"{name}_seconds"), columns.microseconds, timing=True)


INSIDE = (_part("mpi", "in MPI"), _part("wait"), _part("overhead"))


def verdict(rows: list[Told]) -> list[str]:
    ratio = next((row["ratio"] for row in rows if "ratio" in row), None)
    ranks = of_table(rows, "parts")
    told = [f"A round is {short(ratio)} times as fast as the script's."]
    if ranks and "overhead_seconds" in ranks[0]:
        overhead = columns.microseconds(ranks[0]["overhead_seconds"])
        told.append(f"Besides gradient, compressor and MPI it takes {overhead} us.")
    waits = [row for row in ranks[1:] if "wait_seconds" in row]
    if waits:
        most = max(waits, key=lambda row: row["wait_seconds"])
        longest = columns.microseconds(most["wait_seconds"])
        told.append(f"Waiting for others, {most['label']} spends most: {longest} us of each round.")
    return [" ".join(told)]


ROUND = Sheet(tables, verdict)
