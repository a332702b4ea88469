"""A row per case: what it cost, where it ended and when it reached a target."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

import numpy as np

from mpi_lowrank.errors import UserError, one_of
from mpi_lowrank.record import METRICS, THEORY, Case, Metric, Record
from mpi_lowrank.record.costs import arrival, spent
from mpi_lowrank.report.layout import Column, Table, as_text, kilobytes, percent, scientific, whole
from mpi_lowrank.report.numbers import finite, short
from mpi_lowrank.report.parameters import parameters
from mpi_lowrank.report.plain import plain
from mpi_lowrank.report.verdict import Row, footnotes, has_seconds, validity
from mpi_lowrank.text.options import COSTS

Target = tuple[str, float]
"""A metric, and the value at which it is reached."""


def table_rows(records: list[Record], *targets: Target) -> list[Row]:
    """One JSON-ready row per case, in the order of the records and of their cases.

    Bytes are per worker, `total_bytes` is uplink + downlink; NaN and infinities are None;
    `parameters` are the case's options. `targets` has for each target its metric, its value and
    `reached`: None, or the costs (COSTS) at the first recorded round that meets it, and
    `..._ratio`, each cost over the baseline's. Raises UserError for a metric that is no target or
    that no case recorded. Seconds are None where some are real and some modelled.
    """
    for metric, _ in targets:
        _check_target(records, metric)
    rows = [
        row
        for name, record in zip(record_names(records), records, strict=True)
        for row in _record_rows(name, record, targets)
    ]
    return rows if has_seconds(records) else _without_seconds(rows)


def read_target(option: str, text: str) -> Target:
    """A command line's METRIC=VALUE as (metric, value). Raises UserError, naming the option."""
    metric, _, value = text.partition("=")
    try:
        return metric, float(value)
    except ValueError:
        example = "METRIC=NUMBER, such as grad_norm_sq=1e-6"
        raise UserError(f"{option} {text}: expected {example}") from None


def tables(rows: list[Row]) -> list[Table]:
    """How cases ended, and a table per target; KB per worker."""
    shown = (metric for name, metric in row_metrics(rows).items() if name not in THEORY)
    columns = (*END, *map(_metric_column, shown))
    targets = range(len(rows[0]["targets"]) if rows else 0)
    made = [Table("At the end; KB per worker", rows, columns)]
    made += [
        Table(_target_title(rows, number), rows, _reached_columns(number)) for number in targets
    ]
    return [*made[:-1], made[-1]._replace(notes=footnotes(rows))]


def format_table(rows: list[Row]) -> str:
    """`tables` as text."""
    return as_text(tables(plain(rows)))


def record_names(records: list[Record]) -> list[str]:
    """What to call each record: its file's stem, or its path where two have the same."""
    stems = [record.path.stem for record in records]
    return [
        stem if stems.count(stem) == 1 else str(record.path)
        for stem, record in zip(stems, records, strict=True)
    ]


def _check_target(records: list[Record], metric: str) -> None:
    cases = [case for record in records for case in record.cases.values()]
    targets = sorted(all_metrics(cases))
    if metric not in targets:
        raise UserError(f"target {metric!r}: allowed is {one_of(targets, metric)}")
    recorded = [name for name in targets if any(is_recorded(case, name) for case in cases)]
    if metric not in recorded:
        known = ", ".join(recorded) or "no metric"
        raise UserError(f"target {metric!r}: no case recorded it; recorded is {known}")


def all_metrics(cases: Iterable[Case]) -> dict[str, Metric]:
    """METRICS, and those that the problems of the cases have declared."""
    return METRICS | {name: metric for case in cases for name, metric in case.metrics.items()}


def row_metrics(rows: list[Row]) -> dict[str, Metric]:
    """As `all_metrics`, of rows."""
    own = (row.get("metrics", {}) for row in rows)
    return METRICS | {name: Metric(**told) for one in own for name, told in one.items()}


def is_recorded(case: Case, metric: str) -> bool:
    return metric in case.metrics and not np.isnan(case[metric]).all()


def _record_rows(name: str, record: Record, targets: Sequence[Target]) -> list[Row]:
    rows = [_row(name, record, case) for case in record.cases.values()]
    for target in targets:
        reached = {label: _reached(case, *target) for label, case in record.cases.items()}
        base = reached.get(str(record.attributes.get("baseline")))
        for row in rows:
            costs = _with_ratios(reached[row["label"]], base)
            row["targets"].append({"metric": target[0], "value": target[1], "reached": costs})
    return rows


def _without_seconds(rows: list[Row]) -> list[Row]:
    for row in rows:
        reached = (target["reached"] or {} for target in row["targets"])
        for costs in (row, *reached):
            costs.update({key: None for key in costs if key.startswith("seconds")})
    return rows


def _row(name: str, record: Record, case: Case) -> Row:
    end = _costs(case, -1) if len(case) else dict.fromkeys(COSTS)
    return {
        "record": name,
        "label": case.label,
        "baseline": case.label == record.attributes.get("baseline"),
        **{
            key: case.attributes.get(key)
            for key in ("method", "compressor", "step", "family", "multiple", "seed")
        },
        **end,
        **{key: _last(case, key) for key in ("downlink_bytes", *case.metrics)},
        **_own_metrics(case),
        **validity(record, case),
        "parameters": parameters(case),
        "targets": [],
    }


def _own_metrics(case: Case) -> Row:
    own = {name: asdict(case.metrics[name]) for name in case.metrics.keys() - METRICS.keys()}
    return {"metrics": own} if own else {}


def _last(case: Case, key: str) -> float | None:
    """The last number measured: not every row has loss and accuracy.

    None if none was measured, or if the case diverged to one that is not finite.
    """
    column = case[key]
    ended = case.attributes.get("status") == "diverged"
    measured = column if ended else column[~np.isnan(column)]
    return finite(float(measured[-1])) if len(measured) else None


def _costs(case: Case, index: int) -> dict[str, int | float | None]:
    return {cost: finite(spent(case, cost)[index].item()) for cost in COSTS}


def _reached(case: Case, metric: str, value: float) -> dict[str, int | float | None] | None:
    row = arrival(case, metric, value)
    return None if row is None else _costs(case, row)


def _with_ratios(costs: Row | None, baseline: Row | None) -> Row | None:
    if costs is None:
        return None
    base = baseline or dict.fromkeys(COSTS)
    return costs | {f"{key}_ratio": ratio(costs[key], base[key]) for key in COSTS}


def ratio(value: float | None, base: float | None) -> float | None:
    """`value` over `base`; None if either is unknown, or the base is 0."""
    return value / base if base and value is not None else None


def _end(key: str) -> Callable[[Row], float | None]:
    return lambda row: row[key]


def _metric_column(metric: Metric) -> Column:
    return Column(metric.heading, lambda row: row.get(metric.name), SHOWN[metric.scale])


SHOWN = {"decades": scientific, "plain": lambda value: short(value, 4), "percent": percent}
END = (
    Column("rounds", _end("rounds"), whole),
    Column("up", _end("uplink_bytes"), kilobytes),
    Column("down", _end("downlink_bytes"), kilobytes),
    Column("seconds", _end("seconds"), timing=True),
)


def _reached_columns(number: int) -> tuple[Column, ...]:
    """What it took to reach the target of that number."""

    def at(key: str) -> Callable[[Row], float | None]:
        return lambda row: (row["targets"][number]["reached"] or {}).get(key)

    return (
        Column("rounds", at("rounds"), whole),
        Column("up", at("uplink_bytes"), kilobytes),
        Column("up+down", at("total_bytes"), kilobytes),
        Column("seconds", at("seconds"), timing=True),
        Column("up/base", at("uplink_bytes_ratio")),
        Column("up+down/base", at("total_bytes_ratio")),
    )


def _target_title(rows: list[Row], number: int) -> str:
    bases = dict.fromkeys(row["label"] for row in rows if row["baseline"])
    against = f"; base is {', '.join(bases)}" if bases else ""
    return f"{told_target(rows, number)}; KB per worker{against}"


def told_target(rows: list[Row], number: int = 0) -> str:
    """A target of some rows, in words."""
    target = rows[0]["target"] if "target" in rows[0] else rows[0]["targets"][number]
    metric = row_metrics(rows)[target["metric"]]
    return f"To {metric.name} {metric.sign} {target['value']:g}"
