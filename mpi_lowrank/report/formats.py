"""What commands print: rows as text, CSV, Markdown, LaTeX or JSON, some columns, in an order."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from typing import Any

from mpi_lowrank.errors import UserError, one_of
from mpi_lowrank.record import THEORY
from mpi_lowrank.report import layout
from mpi_lowrank.report.chosen import fitting
from mpi_lowrank.report.layout import Column, Table
from mpi_lowrank.report.numbers import finite
from mpi_lowrank.report.parameters import spelled
from mpi_lowrank.report.plain import plain
from mpi_lowrank.report.table import SHOWN, row_metrics
from mpi_lowrank.report.verdict import Row, footnotes
from mpi_lowrank.text.options import COSTS

WRITERS = {"text": layout.as_text, "markdown": layout.as_markdown, "latex": layout.as_latex}
"""What is made of tables; of rows themselves CSV and JSON are."""


def formatted(
    rows: list[Row],
    tables: Callable[[list[Row]], list[Table]],
    form: str = "text",
    columns: list[str] | None = None,
    sort: str | None = None,
) -> str:
    """The rows in one of the formats of `costs.FORMATS`.

    `tables`: makes of rows, whose texts are printable, what text, Markdown and LaTeX show.
    `columns`: keys of `flat` rows that are shown instead. `sort`: the key that orders rows, the
    best first: the least, of metrics that rise the largest. Raises UserError for unknown keys.
    """
    flats = [flat(row) for row in rows]
    known = list(dict.fromkeys(key for one in flats for key in one))
    for option, key in [*(("--columns", key) for key in columns or ()), ("--sort", sort)]:
        if key is not None and key not in known:
            raise UserError(f"{option} {key}: allowed is {one_of(known, key)}")
    if sort is not None:
        rows = sorted(rows, key=lambda row: _order(row, sort))
    if form == "json":
        shown = rows if columns is None else [_only(row, columns) for row in rows]
        return json.dumps(finite(shown), indent=1)
    if form == "csv":
        return as_csv(plain(rows), columns)
    rows = plain(rows)
    return WRITERS[form](tables(rows) if columns is None else [_chosen(rows, columns)])


def flat(row: Row) -> dict[str, Any]:
    """The row as one level: `workers`, `problem.lambda`, `reached.rounds` of the first target.

    The second target's are `reached2.rounds`. Where a parameter has the name of what was measured,
    such as `rounds`, it is what was measured.
    """
    told = {**row.get("parameters", {}), **row.get("setting", {})}
    for number, target in enumerate(row.get("targets", ()), start=1):
        name = "reached" if number == 1 else f"reached{number}"
        told |= {f"{name}.{key}": (target["reached"] or {}).get(key) for key in REACHED}
    return told | {key: value for key, value in row.items() if key not in NESTED}


REACHED = (*COSTS, *(f"{cost}_ratio" for cost in COSTS))
NESTED = {"parameters", "setting", "targets", "target", "metrics"}


def _order(row: Row, key: str) -> tuple[bool, bool, Any]:
    """Numbers before texts before nothing."""
    value, metrics = flat(row).get(key), row_metrics([row])
    if isinstance(value, bool | int | float):
        rises = key in metrics and not metrics[key].falls
        return False, False, -value if rises else value
    return True, value is None, "" if value is None else str(value)


def _only(row: Row, columns: Iterable[str]) -> Row:
    told = flat(row)
    return {key: told.get(key) for key in ("record", "label", *columns)}


def as_csv(rows: list[Row], columns: list[str] | None = None) -> str:
    """A line per row, numbers in full, bytes in bytes: all that `flat` rows have, or `columns`."""
    flats = [flat(row) for row in rows]
    first = ("record", "label")
    keys = [*first, *(columns or dict.fromkeys(k for one in flats for k in one if k not in first))]
    told = io.StringIO()
    writer = csv.writer(told, lineterminator="\n")
    writer.writerow(keys)
    writer.writerows([_csv_cell(one.get(key)) for key in keys] for one in flats)
    return told.getvalue().removesuffix("\n")


def _csv_cell(value: object) -> object:
    return "; ".join(map(str, value)) if isinstance(value, list) else value


def _chosen(rows: list[Row], columns: list[str]) -> Table:
    shown = [_column(rows, key) for key in columns]
    notes = footnotes(rows, timing=any(column.timing for column in shown))
    return Table("", rows, shown, notes=notes)


def _column(rows: list[Row], key: str) -> Column:
    def value(row: Row) -> Any:
        return flat(row).get(key)

    metrics = row_metrics(rows) | THEORY
    if key in metrics:
        return Column(metrics[key].heading, value, SHOWN[metrics[key].scale])
    if "_bytes" in key and not key.endswith("_ratio"):
        return Column(f"{key.replace('_bytes', '')} KB", value, layout.kilobytes)
    timing = "seconds" in key.split(".")[-1]
    return Column(key, value, _shown, timing)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "; ".join(map(str, value)) if isinstance(value, list) else spelled(value)


def chosen(rows: list[Row], glob: str | None) -> list[Row]:
    """The rows whose label fits; UserError if there is none."""
    return fitting(rows, glob, lambda row: [row["label"]])
