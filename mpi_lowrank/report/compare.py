"""Two records of the same cases: the first round that differs, and how much slower one is."""

from typing import Any

import numpy as np

from mpi_lowrank.record import Case, Record
from mpi_lowrank.report.layout import Column, Table, as_text, text
from mpi_lowrank.report.numbers import finite, short
from mpi_lowrank.report.plain import plain
from mpi_lowrank.report.verdict import Row, footnotes, validity

RESAMPLES = 1000
COVERED = (0.025, 0.975)
LEAST = 8
"""Rows with seconds below which there is no interval."""


def compare(one: Record, other: Record) -> list[Row]:
    """One JSON-ready row per label of either record, the first one's in their order.

    `same`: whether all columns but the seconds agree to the bit, rows included. If not, `round` is
    the first one that differs and `columns` are those that do in it; None and [] for a case that
    `missing` says is not there. `seconds_ratio`: the other's median seconds per round over the
    first's, with the `interval` in which 95 % of its bootstrap samples lie; None for too few rows.
    """
    labels = dict.fromkeys([*one.cases, *other.cases])
    return [_row(label, (one, other)) for label in labels]


def _row(label: str, records: tuple[Record, Record]) -> Row:
    cases = [record.cases.get(label) for record in records]
    there = [(r, case) for r, case in zip(records, cases, strict=True) if case is not None]
    verdicts = [validity(record, case) for record, case in there]
    row: Row = {"record": "", "label": label, "missing": None, "same": False, "round": None}
    row |= {"columns": [], "seconds_ratio": None, "interval": None}
    worst = [v for v in verdicts if v["timing_valid"] is False] or verdicts
    row |= {key: worst[0][key] for key in ("timing_valid", "timing_reasons")}
    row |= {key: verdicts[0][key] for key in ("status", "valid", "reasons")}
    if len(there) < 2:
        gone = next(r for r, case in zip(records, cases, strict=True) if case is None)
        return row | {"missing": str(gone.path)}
    pair = there[0][1], there[1][1]
    return row | _difference(*pair) | _seconds(*pair)


def _difference(one: Case, other: Case) -> Row:
    """Where the columns but the seconds part."""
    columns = [case.columns() for case in (one, other)]
    names = [name for name in dict.fromkeys([*columns[0], *columns[1]]) if name != "seconds"]
    firsts = {name: _first(*(c.get(name) for c in columns)) for name in names}
    parted = {name: row for name, row in firsts.items() if row is not None}
    if not parted:
        return {"same": True}
    row = min(parted.values())
    rounds = max((case["round"] for case in (one, other)), key=len)
    at = int(rounds[row]) if row < len(rounds) else None
    return {"round": at, "columns": [name for name in parted if parted[name] == row]}


def _first(one: np.ndarray | None, other: np.ndarray | None) -> int | None:
    """The first row in which two columns differ, NaN from NaN not; None if they are the same."""
    if one is None or other is None:
        return 0
    both = min(len(one), len(other))
    differ = np.flatnonzero(one[:both].view(np.int64) != other[:both].view(np.int64))
    if len(differ):
        return int(differ[0])
    return None if len(one) == len(other) else both


def _seconds(one: Case, other: Case) -> Row:
    """The ratio of seconds per round, and its interval; rows are taken as independent."""
    took = [_per_round(case) for case in (one, other)]
    if min(map(len, took)) < LEAST or not np.median(took[0]) > 0:
        return {}
    rng = np.random.default_rng(0)
    drawn = [np.median(rng.choice(each, (RESAMPLES, len(each))), axis=1) for each in took]
    with np.errstate(divide="ignore", invalid="ignore"):
        interval = np.quantile(drawn[1] / drawn[0], COVERED)
    return {
        "seconds_ratio": finite(float(np.median(took[1]) / np.median(took[0]))),
        "interval": finite(interval.tolist()),
    }


def _per_round(case: Case) -> np.ndarray:
    """Seconds per round between rows, as far as they are known."""
    rounds = np.diff(case["round"])
    took = np.diff(case["seconds"])[rounds > 0] / rounds[rounds > 0]
    return took[np.isfinite(took)]


def format_compare(rows: list[Row]) -> str:
    """`compare`'s rows as text, and what they come to."""
    rows = plain(rows)
    same = sum(row["same"] for row in rows)
    told = f"{same} of {len(rows)} cases are the same to the bit, their seconds apart"
    return as_text([Table(told, rows, COLUMNS, notes=footnotes(rows))])


def _parted(row: Row) -> str:
    if row["missing"] is not None:
        return f"not in {row['missing']}"
    return "same" if row["same"] else ", ".join(row["columns"])


def _interval(value: Any) -> str:
    return "-" if value is None else " to ".join(short(end) for end in value)


COLUMNS = (
    Column("differs in", _parted, text),
    Column("first round", lambda row: row["round"], text),
    Column("seconds, ratio", lambda row: row["seconds_ratio"], short, timing=True),
    Column("95 %", lambda row: row["interval"], _interval),
)
