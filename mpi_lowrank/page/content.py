"""What the page embeds as JSON: every case, thinned, and what it took to each of many targets."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mpi_lowrank.page.network import as_json, networks
from mpi_lowrank.page.stops import in_decades, shown_metrics, stops
from mpi_lowrank.predict.model import Rounds
from mpi_lowrank.predict.rows import dense_wire
from mpi_lowrank.record import Case, Metric
from mpi_lowrank.report import style
from mpi_lowrank.report.best import Step
from mpi_lowrank.report.plain import plain
from mpi_lowrank.report.style import WHOLE
from mpi_lowrank.report.table import Target, is_recorded
from mpi_lowrank.report.verdict import mark

POINTS = 14_000
"""Points of all curves together, besides those where a case reaches a stop."""
FEWEST, MOST = 12, 60
"""Points of a curve."""
SENT = ("round", "uplink_bytes", "downlink_bytes", "seconds")

Content = dict[str, Any]


def content(
    steps: Sequence[Step], target: Target, by: str, baseline: str | None, rounds: Rounds
) -> Content:
    """JSON-ready; its texts are printable, and anything else in them is theirs.

    `groups`: a method at one step of its grid, whose `cases` differ in their seed. A case has
    `columns` (lists of one length, cumulative bytes per worker) and for each metric `at`: of each
    stop the index there of the first recorded row that reaches it, or null.
    """
    cases = [case for step in steps for case in step.cases]
    metrics = shown_metrics(cases)
    told = {name: _metric(metric, cases, target) for name, metric in metrics.items()}
    found = {name: one["stops"] for name, one in told.items()}
    points = int(np.clip(POINTS / max(len(cases), 1), FEWEST, MOST))
    looks = {name: _look(line) for name, line in lines(steps, baseline).items()}
    groups = [
        _about(step, looks)
        | {
            "cases": [
                _case(case, metrics, found, points) | {"model": as_json(rounds.get(case))}
                for case in step.cases
            ]
        }
        for step in steps
    ]
    head = {"target": {"metric": target[0], "value": target[1]}, "by": by, "baseline": baseline}
    told_all = {"network": networks(cases, rounds), "metrics": told, "groups": groups}
    answer: Content = plain(head | told_all)
    return answer


def _metric(metric: Metric, cases: Sequence[Case], target: Target) -> Content:
    """How a metric is told and drawn, and where its slider stops."""
    more = [target[1]] if metric.name == target[0] else []
    found = stops(metric, cases, more)
    return {
        "heading": metric.heading,
        "falls": metric.falls,
        "sign": metric.sign,
        "percent": metric.scale == "percent",
        "log": in_decades(metric, min(found), max(found)),
        "stops": found,
    }


def _about(step: Step, looks: dict[str, Content]) -> Content:
    row = step.row
    kept = ("name", "stepsize", "setting", "method", "compressor", "timing_valid")
    more = {"mark": mark(row), "wire": dense_wire(step.cases[0]), "whole": row["family"] == WHOLE}
    return {key: row.get(key) for key in kept} | more | looks[row["name"]]


def lines(steps: Sequence[Step], baseline: str | None) -> dict[str, style.Line]:
    """Each method's line, by its name: those of figures, in the order of the records."""
    names = dict.fromkeys(step.row["name"] for step in steps)
    others = (name for name in names if name != baseline)
    told = {name: style.line(number) for number, name in enumerate(others)}
    return told | ({baseline: style.BASELINE} if baseline in names else {})


def _look(line: style.Line) -> Content:
    """A line's colour and dashes; that of the baseline is the colour of text."""
    dash = [] if isinstance(line.linestyle, str) else [2 * length for length in line.linestyle[1]]
    return {"color": "" if line == style.BASELINE else line.color, "dash": dash}


def _case(
    case: Case, metrics: dict[str, Metric], found: dict[str, list[float]], points: int
) -> Content:
    known = {name: metric for name, metric in metrics.items() if is_recorded(case, name)}
    first = {name: _first(case[name], metric, found[name]) for name, metric in known.items()}
    rows = _kept(case, list(known), first, points)
    return {
        "label": case.label,
        "seed": case.attributes.get("seed"),
        "best": {name: metric.best(case[name]) for name, metric in known.items()},
        "at": {name: _places(rows, there) for name, there in first.items()},
        "columns": {name: _sums(case[name][rows]) for name in SENT}
        | {name: _numbers(case[name][rows], 5) for name in known},
    }


def _first(column: np.ndarray, metric: Metric, targets: list[float]) -> list[int | None]:
    """The first row that reaches each of the targets."""
    met = [metric.reached(column, target) for target in targets]
    return [int(np.argmax(one)) if np.any(one) else None for one in met]


def _kept(
    case: Case, metrics: list[str], first: dict[str, list[int | None]], points: int
) -> np.ndarray:
    """Rows even in the logarithm of their number, of each metric those that measured it.

    Besides the last one, and those that reach a stop.
    """
    kept = {row for there in first.values() for row in there if row is not None}
    measured = [np.flatnonzero(~np.isnan(case[name])) for name in metrics]
    for rows in [np.arange(len(case)), *measured]:
        even = np.geomspace(1, max(len(rows), 1), points).round().astype(int) - 1
        kept |= set(rows[even].tolist()) if len(rows) else set()
    return np.array(sorted(kept), int)


def _places(rows: np.ndarray, there: list[int | None]) -> list[int | None]:
    return [None if row is None else int(np.searchsorted(rows, row)) for row in there]


def _sums(column: np.ndarray) -> list[float | int | None]:
    return _numbers(column, 12)


def _numbers(column: np.ndarray, digits: int) -> list[float | int | None]:
    """The column in few characters; None for what JSON has no word for."""
    return [_number(float(f"{value:.{digits}g}")) for value in column.tolist()]


def _number(value: float) -> float | int | None:
    if not np.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 1e15 else value
