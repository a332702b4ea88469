"""What a bench prints, made of its record."""

import textwrap
from collections import Counter
from typing import Any

from mpi_lowrank.benchmarks.repeats import WITHIN
from mpi_lowrank.benchmarks.sheets.collectives import COLLECTIVES
from mpi_lowrank.benchmarks.sheets.kernels import KERNELS
from mpi_lowrank.benchmarks.sheets.round import ROUND
from mpi_lowrank.benchmarks.sheets.scaling import SCALING
from mpi_lowrank.benchmarks.sheets.sheet import Sheet, Told
from mpi_lowrank.errors import UserError, one_of
from mpi_lowrank.record.bench import BenchRecord
from mpi_lowrank.report.layout import Table, as_text
from mpi_lowrank.report.plain import plain
from mpi_lowrank.report.verdict import WIDTH, footnotes, timing_note

SHEETS: dict[str, Sheet] = {
    "collectives": COLLECTIVES,
    "kernels": KERNELS,
    "round": ROUND,
    "scaling": SCALING,
}


def format_bench(record: BenchRecord) -> str:
    """Its tables, with the verdict below them."""
    return as_text(tables_of(record, plain(rows_of(record))))


def rows_of(record: BenchRecord) -> list[Told]:
    """Its rows as tables take them: whether their seconds are valid, and why not."""
    common = {"record": record.path.stem, "status": "finished", "valid": True, "reasons": []}
    return [common | row | _timing(record.attributes, row) for row in record.rows]


def _timing(root: dict[str, Any], row: Told) -> Told:
    """The cause before its symptoms."""
    reasons = list(root.get("timing_reasons", []))
    if "oversubscribed" in row:
        reasons.append(f"more ranks than cores, {row['oversubscribed']}")
    elif "disturbed" in row:
        reasons.append(row["disturbed"])
    return {"timing_valid": not reasons, "timing_reasons": reasons[:1]}


def tables_of(record: BenchRecord, rows: list[Told]) -> list[Table]:
    """The bench's tables, where they come from above them and the verdict below.

    `rows` are printable ones of `rows_of`.
    """
    sheet, root = sheet_of(record), plain(record.attributes)
    tables = [table for table in sheet.tables(rows) if table.rows]
    if not tables:
        raise UserError(f"{record.path}: has no rows")
    notes = [
        *sheet.verdict(rows),
        *_known(root, rows),
        *footnotes(rows, timing=False),
        *_doubts(rows),
    ]
    lines = [line for note in notes for line in textwrap.wrap(note, WIDTH)]
    tables[0] = tables[0]._replace(title=f"{_headline(root)}\n{tables[0].title}")
    tables[-1] = tables[-1]._replace(notes=lines)
    return tables


def sheet_of(record: BenchRecord) -> Sheet:
    """How the record is shown. UserError where this version has no bench of that name."""
    name = str(record.attributes.get("bench"))
    if name not in SHEETS:
        raise UserError(f"{record.path}: of the bench {name}; allowed is {one_of(SHEETS, name)}")
    return SHEETS[name]


def _headline(root: dict[str, Any]) -> str:
    load = f"; load {root['load']:.1f} when it began" if "load" in root else ""
    ranks = f"{root.get('ranks')} ranks on {root.get('cores')} cores, {root.get('mpi_library')}"
    told = f"bench {root.get('bench')}: {ranks}, {root.get('kernels')}{load}"
    return textwrap.fill(told, WIDTH)


def _doubts(rows: list[Told]) -> list[str]:
    """What "~" means, and of how many rows."""
    noted = Counter(timing_note(row) for row in rows)
    return [f"~ {note} ({count} of {len(rows)} rows)" for note, count in noted.items() if note]


def _known(root: dict[str, Any], rows: list[Told]) -> list[str]:
    """How many medians are known, and by which limit others are not."""
    endings = [row["until"] for row in rows if "until" in row]
    known = endings.count("interval")
    told = f"Of {len(endings)} rows {known} have a median known within {100 * WITHIN:.0f} %"
    if known < len(endings):
        limits = f"{root.get('most_seconds')} s or {root.get('most_repeats')} repeats"
        told += f"; {len(endings) - known} ended at the limit of {limits}"
    return [told + "."]
