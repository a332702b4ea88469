"""Each method at the best step of its grid: medians over seeds, and ratios to a baseline."""

import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mpi_lowrank.errors import UserError, one_of
from mpi_lowrank.record import Case, Record
from mpi_lowrank.report.layout import Column, Table, kilobytes, scientific, text, whole
from mpi_lowrank.report.medians import ARRIVED, median_row, median_title, with_ratios
from mpi_lowrank.report.numbers import short
from mpi_lowrank.report.parameters import parameters, spelled
from mpi_lowrank.report.table import Target, row_metrics, table_rows
from mpi_lowrank.report.verdict import WIDTH, Row, check_seconds, footnotes
from mpi_lowrank.text.names import title

SETTING = ("problem", "data", "order", "workers")
"""Attributes: methods are compared where these are the same."""

LENGTH = ("rounds", "time_limit", "evaluate_every", "loss_every", "theory")
"""Parameters that say how long a case runs and what is measured, as `stop.METRIC` does."""

STEP = ("stepsize", "multiple")


class Step(NamedTuple):
    """A method at one step of its grid, in one setting: all its seeds.

    `row` is JSON-ready: a `median_row` with `name`, `stepsize` (a text: "8/L") and `setting`.
    """

    row: Row
    cases: list[Case]


def best_rows(
    records: list[Record],
    target: Target,
    by: str = "total_bytes",
    baseline: str | None = None,
) -> list[Row]:
    """The rows of `best_steps`."""
    return [step.row for step in best_steps(records, target, by, baseline)]


def best_steps(
    records: list[Record],
    target: Target,
    by: str = "total_bytes",
    baseline: str | None = None,
) -> list[Step]:
    """The best step of each method in each setting, in the records' order.

    That is the one whose median over the seeds of the cost `by`, one of COSTS, to the target
    (metric, value) is least; where no median arrives, the one from which most seeds do, or which
    comes nearest. Rows have `..._ratio` besides: their medians over those of `baseline`, a row's
    `name` (default: the method of the record's baseline), in the same setting. Raises UserError as
    `table_rows` does, and for a baseline that is no row.
    """
    steps = all_steps(records, target)
    if by == "seconds":
        check_seconds(records)
    best: dict[tuple, Step] = {}
    for step in steps:
        key = (*_setting(step.row), step.row["name"])
        if key not in best or _rank(step.row, by) < _rank(best[key].row, by):
            best[key] = step
    chosen = _baseline([step.row for step in steps], baseline)
    bases = {_setting(step.row): step.row for step in best.values() if step.row["name"] == chosen}
    return [_beside(step, chosen, bases.get(_setting(step.row), {})) for step in best.values()]


def _beside(step: Step, baseline: str | None, base: Row) -> Step:
    """The step with its ratios to the baseline's row."""
    row = step.row | {"baseline": step.row["name"] == baseline}
    return step._replace(row=with_ratios(row, base))


def all_steps(records: list[Record], target: Target) -> list[Step]:
    """Every step of every method and setting, in the records' order."""
    cases = [case for record in records for case in record.cases.values()]
    steps: dict[tuple, list[tuple[Row, Case]]] = {}
    for row, case, name in zip(table_rows(records, target), cases, _names(cases), strict=True):
        key = (*setting_of(case).values(), name, step_of(case))
        steps.setdefault(key, []).append((row, case))
    return [_step(name, step, members) for (*_, name, step), members in steps.items()]


def _step(name: str, step: str, members: list[tuple[Row, Case]]) -> Step:
    rows, cases = [row for row, _ in members], [case for _, case in members]
    row = median_row(rows, cases) | {"label": name, "name": name, "stepsize": step, "record": ""}
    return Step(row | {"setting": setting_of(cases[0])}, cases)


def setting_of(case: Case) -> dict[str, Any]:
    """What a case was run on; None for what its record does not say."""
    return {key: case.attributes.get(key) for key in SETTING}


def _setting(row: Row) -> tuple:
    return tuple(row["setting"].values())


def _rank(row: Row, by: str) -> tuple[float, int, float]:
    """Less is better: the median cost, seeds that arrived, and how near to the target it came."""
    cost, best = (np.inf if row[key] is None else row[key] for key in (by, "lowest"))
    falls = row_metrics([row])[row["target"]["metric"]].falls
    return cost, -row["arrived"], best if falls or np.isinf(best) else -best


def _baseline(steps: list[Row], given: str | None) -> str | None:
    names = list(dict.fromkeys(row["name"] for row in steps))
    if given is None:
        return next((row["name"] for row in steps if row["baseline"]), None)
    if given not in names:
        raise UserError(f"--baseline {given}: allowed is {one_of(names, given)}")
    return given


def step_of(case: Case) -> str:
    """A case's step as it was asked for: "8/L", "4x" of the theory's, or a number; else "-".

    L and the theory's step may differ from seed to seed.
    """
    given, asked = case.attributes, parameters(case).get("stepsize")
    if "multiple" in given:
        return f"{given['multiple']:g}x"
    if asked is not None or "stepsize" not in given:
        return spelled(asked)
    in_L = given["stepsize"] * given.get("L", np.nan)
    return f"{given['stepsize']:.3g}" if np.isnan(in_L) else f"{in_L:.3g}/L"


def method_name(given: Mapping[str, Any]) -> str:
    """The title of what the attributes name."""
    method, compressor, step = (
        str(given.get(key) or "") for key in ("method", "compressor", "step")
    )
    return title(method, compressor, step)


def _names(cases: list[Case]) -> list[str]:
    """Each case's method: its name, and the parameters by which others of that name differ."""
    names = [method_name(case.attributes) for case in cases]
    alike: dict[tuple, list[int]] = {}
    for number, case in enumerate(cases):
        alike.setdefault((names[number], *setting_of(case).values()), []).append(number)
    for numbers in alike.values():
        told = [_identity(cases[number]) for number in numbers]
        for number, more in zip(numbers, _differences(told), strict=True):
            names[number] = " ".join([names[number], *more])
    return names


def _differences(told: list[dict[str, Any]]) -> list[list[str]]:
    """What tells each from the others: KEY=VALUE."""
    texts = [{key: spelled(value) for key, value in one.items()} for one in told]
    keys = dict.fromkeys(key for one in texts for key in one)
    differ = [key for key in keys if len({one.get(key, "-") for one in texts}) > 1]
    return [[f"{key}={one.get(key, '-')}" for key in differ] for one in texts]


def _identity(case: Case) -> dict[str, Any]:
    """The parameters that make cases of one name and setting other methods."""
    free = {*LENGTH, *STEP, "seed"}
    told = parameters(case).items()
    return {key: v for key, v in told if key not in free and not key.startswith("stop.")}


def blocks_of(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each setting."""
    blocks: dict[tuple, list[Row]] = {}
    for row in rows:
        blocks.setdefault(_setting(row), []).append(row)
    return list(blocks.values())


def best_tables(rows: list[Row], by: str = "total_bytes") -> list[Table]:
    """A table per setting."""
    return [_table(block, by) for block in blocks_of(rows)]


def in_order(rows: list[Row], by: str = "total_bytes") -> list[Row]:
    """The rows setting by setting, of each the cheapest first."""
    return [row for b in blocks_of(rows) for row in sorted(b, key=lambda row: _rank(row, by))]


def _table(rows: list[Row], by: str) -> Table:
    bases = [row["name"] for row in rows if row["baseline"]]
    titles = [told_setting(rows[0]), median_title(rows), f"base is {bases[0]}" if bases else ""]
    title = "\n".join(line for told in titles for line in textwrap.wrap(told, WIDTH))
    notes = footnotes(rows, timing=by == "seconds")
    return Table(title, rows, _columns(rows, by), "method", notes)


def told_setting(row: Row) -> str:
    """What the row's cases were run on, in words."""
    return ", ".join(f"{key} {value}" for key, value in row["setting"].items() if value)


HEADERS = {"rounds": "rounds", "uplink_bytes": "up", "total_bytes": "up+down", "seconds": "seconds"}


def _columns(rows: list[Row], by: str) -> list[Column]:
    """The step, medians, ratios; of the cost `by` the extremes where there are several seeds."""
    several = max(row["starts"] for row in rows) > 1
    shown = [cost for cost in HEADERS if cost != "seconds" or by == "seconds"]
    compared = [cost for cost in HEADERS if cost in (by, "total_bytes")]
    medians = [Column("step", _value("stepsize"), text)]
    medians += [_column(cost, HEADERS[cost], cost) for cost in shown]
    ratios = [Column(f"{HEADERS[cost]}/base", _value(f"{cost}_ratio")) for cost in compared]
    extremes = [_column(f"{by}_{end}", end, by) for end in ("least", "most")] if several else []
    nearest = Column("lowest", lambda row: row["lowest"] if row[by] is None else None, scientific)
    return [*medians, *extremes, *ratios, ARRIVED, nearest]


def _column(key: str, header: str, cost: str) -> Column:
    shown = {"rounds": whole, "seconds": short}.get(cost, kilobytes)
    return Column(header, _value(key), shown, timing=cost == "seconds")


def _value(key: str) -> Callable[[Row], Any]:
    return lambda row: row[key]
