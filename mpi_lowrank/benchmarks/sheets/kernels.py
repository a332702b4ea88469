"""The tables of the bench `kernels`."""

from statistics import median

from mpi_lowrank.benchmarks.sheets import columns
from mpi_lowrank.benchmarks.sheets.sheet import Sheet, Told, of_table
from mpi_lowrank.report.layout import Column, Table, whole
from mpi_lowrank.report.numbers import short

PARTS = ("encode", "decode")
FAST = 1e9
"""Bytes of input per second that are asked of a compressor each way."""

LEGEND = (
    "GB/s: bytes of the vector over the median, copies: memcpys of it in that time, on the slowest "
    "rank, all at once; /float32: the message's bytes over those of float32."
)


def tables(rows: list[Told]) -> list[Table]:
    """One for each family."""
    families = dict.fromkeys(str(row.get("table")) for row in rows)
    shown = [
        Column("numbers", columns.of("numbers"), whole),
        *(column for part in PARTS for column in _part(part)),
        Column("/float32", columns.of("of_float32")),
        *columns.REPEATED,
    ]
    return [Table(name, of_table(rows, name), shown, "compressor") for name in families]


def _part(part: str) -> tuple[Column, Column]:
    speed = columns.of(f"{part}_bytes_per_second")
    return (
        Column(f"{part} GB/s", speed, columns.billions, timing=True),
        Column("copies", columns.of(f"{part}_copies"), timing=True),
    )


def verdict(rows: list[Told]) -> list[str]:
    measured = [row for row in rows if all(f"{p}_bytes_per_second" in row for p in PARTS)]
    sizes: dict[int, list[Told]] = {}
    for row in measured:
        sizes.setdefault(row.get("numbers", 0), []).append(row)
    return [LEGEND, *(f"{size} numbers: {_summary(sizes[size])}" for size in sorted(sizes))]


def _summary(rows: list[Told]) -> str:
    fast = [r for r in rows if min(r[f"{p}_bytes_per_second"] for p in PARTS) >= FAST]
    slowest = max(rows, key=lambda row: row.get("encode_copies", 0))
    copy = median(row.get("memcpy_bytes_per_second", 0) for row in rows)
    told = f"memcpy {columns.billions(copy)} GB/s; {len(fast)} of {len(rows)} compressors reach "
    told += f"1 GB/s each way; {slowest['label']} takes longest, "
    told += f"{short(slowest.get('encode_copies'))} copies to encode"
    for row in rows:
        if "argpartition_p50_seconds" in row and "encode_p50_seconds" in row:
            share = row["encode_p50_seconds"] / row["argpartition_p50_seconds"]
            told += f"; {row['label']} encodes in {short(share)} of np.argpartition's time"
    return told + "."


KERNELS = Sheet(tables, verdict)
