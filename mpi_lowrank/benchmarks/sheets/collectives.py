"""The tables of the bench `collectives`."""

from mpi_lowrank.benchmarks.sheets import columns
from mpi_lowrank.benchmarks.sheets.sheet import Sheet, Told, of_table
from mpi_lowrank.report.layout import Column, Table, percent, whole

CALLS = "seconds of a call on the slowest rank; bytes and GB/s that each rank hands over"
MODELS = "seconds = messages x latency + bytes x load / bandwidth; residual: rms, relative"


def tables(rows: list[Told]) -> list[Table]:
    shown = [
        Column("bytes", columns.of("bytes"), whole),
        Column("p50 us", columns.of("p50_seconds"), columns.microseconds, timing=True),
        Column("p95 us", columns.of("p95_seconds"), columns.microseconds, timing=True),
        Column("p99 us", columns.of("p99_seconds"), columns.microseconds, timing=True),
        Column("GB/s", columns.of("bytes_per_second"), columns.billions, timing=True),
        *columns.REPEATED,
    ]
    fitted = [
        Column("sizes", columns.of("sizes"), whole),
        Column("messages", columns.of("steps"), whole),
        Column("load/byte", columns.of("load_bytes_per_byte")),
        Column("latency us", columns.of("latency_seconds"), columns.microseconds, timing=True),
        Column(
            "GB/s",
            columns.of("bandwidth_bytes_per_second"),
            columns.billions,
            timing=True,
        ),
        Column("residual %", columns.of("residual"), percent),
    ]
    return [
        Table(CALLS, of_table(rows, "calls"), shown, "call"),
        Table(MODELS, of_table(rows, "models"), fitted, "model"),
    ]


def verdict(rows: list[Told]) -> list[str]:
    models = [row for row in of_table(rows, "models") if "residual" in row]
    worst = max(models, key=lambda row: row["residual"], default=None)
    told = ["All data were compared, before and after each row's repeats: every byte is right."]
    if worst:
        miss = f"{100 * worst['residual']:.0f} % of its seconds"
        told.append(f"The model fits {worst['label']} worst, whose calls it misses by {miss}.")
    return told


COLLECTIVES = Sheet(tables, verdict)
