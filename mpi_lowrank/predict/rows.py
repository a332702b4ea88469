"""Rows of predictions: each case's time on some networks, and where it beats dense gradients."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NamedTuple

import numpy as np

from mpi_lowrank.door.network import Network, told_bandwidth
from mpi_lowrank.predict.model import Measured, Pays, Rounds, mean_of, measured, pays, rounds_of
from mpi_lowrank.record import Case, Record
from mpi_lowrank.report.best import Step
from mpi_lowrank.report.layout import Column, Table, as_text, text
from mpi_lowrank.report.parameters import parameters
from mpi_lowrank.report.plain import plain
from mpi_lowrank.report.style import WHOLE
from mpi_lowrank.report.table import Target, table_rows, told_target
from mpi_lowrank.report.verdict import WIDTH, Row, footnotes
from mpi_lowrank.text.options import COSTS

WIRES = ("float32", "float16")
POINTS = 121
"""Bandwidths of a grid."""
USUAL = (
    "usual on a fast network: Agarwal et al. (On the Utility of Gradient Compression in "
    "Distributed Training Systems, MLSys 2022) found a gain in 6 of over 200 setups"
)


class Grid(NamedTuple):
    """The networks to predict for: bytes per second, seconds per message, numbers of ranks."""

    bandwidths: np.ndarray
    latency: float
    ranks: list[int]

    @classmethod
    def between(
        cls, bandwidths: tuple[float, float], latency: float, ranks: tuple[int, int]
    ) -> Grid:
        """A fine grid of bandwidths, and each power of two of ranks in the range."""
        powers = {2**power for power in range(40) if ranks[0] <= 2**power <= ranks[1]}
        many = sorted({*powers, *ranks})
        return cls(np.geomspace(*bandwidths, POINTS), latency, many)


def predict(record: Record, grid: Grid, ranks: int, target: Target | None = None) -> list[Row]:
    """JSON-ready: `table_rows` with what `ranks` ranks with a worker each would take.

    `predicted`: a list of `bandwidth` (bytes per second), `round_seconds` and, to the target in
    the rounds that the record took, `target_seconds`. `pays`: by each of WIRES the bandwidths [low,
    high] between which the case beats the dense one of that wire, high None for any; None where it
    never does; a wire is left out where the record has no such case. `dense`: that case's label.
    Raises UserError where a case has no phases or ledger.
    """
    rows, cases = _rows(record, target), list(record.cases.values())
    return _beside(rows, cases, _models(cases), grid, ranks)


def _models(cases: Sequence[Case]) -> list[Measured]:
    found = rounds_of(cases)
    return [found[case] if case in found else measured(case) for case in cases]


def predict_steps(steps: Sequence[Step], rounds: Rounds, grid: Grid, ranks: int) -> list[Row]:
    """As `predict`, of methods at some steps in one setting: to the target of their rows.

    The rounds are their medians over seeds, and a round is the mean one of all seeds. Left out are
    steps of which no case has phases and a ledger.
    """
    found = [(step, [rounds[case] for case in step.cases if case in rounds]) for step in steps]
    known = [(step, mean_of(models)) for step, models in found if models]
    rows = [step.row | {"targets": [_reached(step.row)]} for step, _ in known]
    cases = [step.cases[0] for step, _ in known]
    return _beside(rows, cases, [model for _, model in known], grid, ranks)


def _reached(row: Row) -> Row:
    """The target of a median row as rows of cases have theirs."""
    costs = None if row["rounds"] is None else {cost: row[cost] for cost in COSTS}
    return row["target"] | {"reached": costs}


def _rows(record: Record, target: Target | None) -> list[Row]:
    return table_rows([record], *([target] if target else []))


def _beside(
    rows: list[Row], cases: Sequence[Case], models: Sequence[Measured], grid: Grid, ranks: int
) -> list[Row]:
    """The rows with what is predicted, beside those that send whole gradients."""
    rounds = [_times(row) for row in rows]
    dense = _dense(cases, rounds)
    counted = [None if times == inf else times for times in rounds]
    named = {wire: rows[number]["label"] for wire, number in dense.items()}
    about = {"ranks": ranks, "latency": grid.latency, "dense": named}
    for row, model, times in zip(rows, models, rounds, strict=True):
        beside = {wire: (models[d], rounds[d]) for wire, d in dense.items()}
        where = {
            wire: _told(pays(model, other, (times, count), grid.latency, ranks))
            for wire, (other, count) in beside.items()
        }
        row |= about | {"pays": where, "predicted": _at(model, times, grid, ranks, row["targets"])}
    return [row | {"rounds_counted": n} for row, n in zip(rows, counted, strict=True)]


def winners(record: Record, grid: Grid, target: Target | None = None) -> np.ndarray:
    """The number of the fastest case, (ranks, bandwidths) int; -1 where none reached the target."""
    models = _models(list(record.cases.values()))
    times = np.array([_times(row) for row in _rows(record, target)])[:, None, None]
    one = np.array([_surface(model, grid) for model in models])
    best: np.ndarray = np.where(np.isinf(times).all(), -1, np.argmin(one * times, axis=0))
    return best


def is_whole(record: Record) -> list[bool]:
    """Of each case whether it sends whole gradients."""
    return [case.attributes.get("family") == WHOLE for case in record.cases.values()]


def _surface(model: Measured, grid: Grid) -> np.ndarray:
    costs = [model.cost(ranks) for ranks in grid.ranks]
    fixed = [
        model.fixed(ranks) + cost.steps * grid.latency
        for ranks, cost in zip(grid.ranks, costs, strict=True)
    ]
    load = np.array([cost.load for cost in costs])
    return np.array(fixed)[:, None] + load[:, None] / grid.bandwidths


def _times(row: Row) -> float:
    """The rounds to the target, infinite where it was not reached; without a target one."""
    if not row["targets"]:
        return 1.0
    reached = row["targets"][0]["reached"]
    return float(reached["rounds"]) if reached else inf


def _dense(cases: Sequence[Case], rounds: list[float]) -> dict[str, int]:
    """The number of the case that sends whole gradients in the fewest rounds, by wire."""
    found: dict[str, int] = {}
    for number, case in enumerate(cases):
        wire = dense_wire(case)
        if wire and (wire not in found or rounds[number] < rounds[found[wire]]):
            found[wire] = number
    return {wire: found[wire] for wire in WIRES if wire in found and rounds[found[wire]] < inf}


def dense_wire(case: Case) -> str | None:
    """Which of WIRES whole gradients of the case travel as; None for other cases."""
    wire = str(parameters(case).get("compressor.wire") or case.attributes.get("dtype"))
    return wire if wire in WIRES and case.attributes.get("family") == WHOLE else None


def _told(where: Pays | None) -> list[float | None] | None:
    return None if where is None else [where.low, None if where.high == inf else where.high]


def _at(model: Measured, times: float, grid: Grid, ranks: int, targets: Sequence[Row]) -> list[Row]:
    rows = []
    for bandwidth in shown_bandwidths(grid):
        seconds = model.seconds(Network(bandwidth, grid.latency), ranks)
        row: dict[str, Any] = {"bandwidth": bandwidth, "round_seconds": seconds}
        if targets:
            row["target_seconds"] = None if times == inf else times * seconds
        rows.append(row)
    return rows


def shown_bandwidths(grid: Grid) -> list[float]:
    """The decades of bits per second in the grid's range, and the ends if there is none."""
    low, high = 8 * grid.bandwidths[0], 8 * grid.bandwidths[-1]
    powers = range(int(np.ceil(np.log10(low) - 1e-9)), int(np.log10(high) + 1e-9) + 1)
    return [10.0**power / 8 for power in powers] or [low / 8, high / 8]


def format_predictions(rows: list[Row]) -> str:
    """`prediction_table` as text."""
    return as_text([prediction_table(plain(rows))])


def prediction_table(rows: list[Row]) -> Table:
    """The time to the target or of a round, and in notes where nothing pays."""
    target = rows[0]["targets"][0] if rows[0]["targets"] else None
    key = "target_seconds" if target else "round_seconds"
    unit = f"{told_target(rows)}: seconds" if target else "Milliseconds per round"
    where = f"predicted for {rows[0]['ranks']} ranks with a worker each"
    where += f", {rows[0]['latency'] * 1e6:g} us per message"
    dense = (f"{wire} is {label}" for wire, label in rows[0]["dense"].items())
    lines = (f"{unit}, by bit/s", where, *dense)
    title = "\n".join(part for line in lines for part in textwrap.wrap(line, WIDTH))
    notes = [*footnotes(rows, timing=False), *_verdict(rows)]
    return Table(title, rows, _columns(rows, key, bool(target)), notes=notes)


def _columns(rows: list[Row], key: str, target: bool) -> list[Column]:
    columns = [Column("rounds", lambda row: row["rounds_counted"], _whole)] if target else []
    for number, at in enumerate(rows[0]["predicted"]):
        header = told_bandwidth(at["bandwidth"]).removesuffix("bit/s")
        columns.append(Column(header, _at_number(number, key, 1 if target else 1e3)))
    for wire in rows[0]["pays"]:
        columns.append(Column(f"beats {wire}", _where(wire), text))
    return columns


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _at_number(number: int, key: str, scale: float) -> Callable[[Row], float | None]:
    def value(row: Row) -> float | None:
        found = row["predicted"][number][key]
        return None if found is None else found * scale

    return value


def _where(wire: str) -> Callable[[Row], str]:
    def told(row: Row) -> str:
        where = row["pays"].get(wire)
        if where is None:
            return "never"
        low, high = where
        if low:
            return f"above {told_bandwidth(low)}"
        return "always" if high is None else f"below {told_bandwidth(high)}"

    return told


def _verdict(rows: list[Row]) -> list[str]:
    """From which bandwidth on no compression is faster than dense gradients."""
    lines = []
    for wire in rows[0]["pays"]:
        compressed = [row["pays"][wire] for row in rows if row["family"] != WHOLE]
        highs = [inf if where[1] is None else where[1] for where in compressed if where]
        if not compressed or inf in highs:
            continue
        start = f"From {told_bandwidth(max(highs))} on nothing" if highs else "Nothing"
        lines.append(f"{start} beats dense {wire} here")
    told = f"That is {USUAL}." if lines else ""
    return [*lines, *textwrap.wrap(told, WIDTH)]
