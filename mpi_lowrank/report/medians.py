"""Cases that differ only in their seed, together: medians over starts of what a target took."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mpi_lowrank.record import Case, Record
from mpi_lowrank.report.layout import Column, Table, as_text, kilobytes, scientific, text, whole
from mpi_lowrank.report.numbers import finite
from mpi_lowrank.report.plain import plain
from mpi_lowrank.report.table import (
    Target,
    is_recorded,
    ratio,
    record_names,
    table_rows,
    told_target,
)
from mpi_lowrank.report.verdict import Row, footnotes
from mpi_lowrank.text.options import COSTS


def median_rows(records: list[Record], target: Target) -> list[Row]:
    """One JSON-ready row per group of cases that differ only in their seed, in the records' order.

    A row is a `median_row` with its `label`; `..._ratio`: its medians over those of the record's
    baseline. Raises UserError as `table_rows` does.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in table_rows(records, target):
        groups.setdefault((row["record"], start_free(row["label"], row["seed"])), []).append(row)
    cases = grouped_cases(records)
    rows = [median_row(members, cases[key]) | {"label": key[1]} for key, members in groups.items()]
    bases = {row["record"]: row for row in rows if row["baseline"]}
    return [with_ratios(row, bases.get(row["record"], {})) for row in rows]


def grouped_cases(records: list[Record]) -> dict[tuple[str, str], list[Case]]:
    """The cases of each row of `median_rows`, by its record and label."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for name, record in zip(record_names(records), records, strict=True):
        for label, case in record.cases.items():
            key = name, start_free(label, case.attributes.get("seed"))
            groups.setdefault(key, []).append(case)
    return groups


def together(rows: list[Row]) -> Row:
    """The first of several starts' `table_rows`, with the costs of all of them.

    `costs`: for each of COSTS an array (starts,), infinite where the target was not reached.
    `reached`: their medians, or None if that of the rounds is infinite.
    """
    reached = [row["targets"][0]["reached"] for row in rows]
    costs = {
        cost: np.array([one[cost] if one else np.inf for one in reached], float) for cost in COSTS
    }
    medians = {cost: float(np.median(values)) for cost, values in costs.items()}
    return rows[0] | {
        "costs": costs,
        "reached": finite(medians) if np.isfinite(medians["rounds"]) else None,
    }


def start_free(label: str, seed: int | None) -> str:
    """The label of a case without the seed that tells it from the group's others."""
    return label.replace(f" seed={seed}", "")


def median_tables(rows: list[Row]) -> list[Table]:
    """The rows below one title."""
    if not rows:
        return []
    bases = ", ".join(dict.fromkeys(row["label"] for row in rows if row["baseline"]))
    title = median_title(rows) + (f"; base is {bases}" if bases else "")
    return [Table(title, rows, COLUMNS, notes=footnotes(rows, timing=False))]


def format_medians(rows: list[Row]) -> str:
    """`median_tables` as text."""
    return as_text(median_tables(plain(rows)))


def median_title(rows: list[Row]) -> str:
    """What the rows' numbers are: to which target, over how many starts, in which unit."""
    starts = sorted({row["starts"] for row in rows})
    many = f"{starts[0]}" if len(starts) == 1 else f"{starts[0]} to {starts[-1]}"
    over = f"{many} start" if starts == [1] else f"{many} starts"
    return f"{told_target(rows)}, medians over {over}; KB per worker"


def median_row(members: list[Row], cases: list[Case]) -> Row:
    """One row for several starts' rows with one target, and their cases.

    COSTS hold the medians over the starts of what the target took; a start that never arrived
    counts as infinite, and an infinite median is None. `..._least`, `..._most`: the extremes.
    `arrived`: how many of the `starts` did. `lowest`: the median of the best values.
    """
    joined = together(members)
    target = {key: joined["targets"][0][key] for key in ("metric", "value")}
    costs, best = joined["costs"], _best(cases, target["metric"])
    shared = shared_row(members)
    return {
        "target": target,
        **{name: shared[name] for name in SHARED if name in shared},
        "baseline": any(row["baseline"] for row in members),
        "starts": len(members),
        "arrived": int(np.isfinite(costs["rounds"]).sum()),
        **(joined["reached"] or dict.fromkeys(COSTS)),
        **{f"{cost}_least": finite(float(values.min())) for cost, values in costs.items()},
        **{f"{cost}_most": finite(float(values.max())) for cost, values in costs.items()},
        "lowest": finite(float(np.median(best))) if best else None,
    }


KINDS = ("record", "method", "compressor", "step", "family", "multiple", "metrics", "parameters")
VERDICT = ("status", "valid", "reasons", "timing_valid", "timing_reasons")
SHARED = (*KINDS, *VERDICT)
"""What a median row has of its starts' `shared_row`."""


def _best(cases: list[Case], metric: str) -> list[float]:
    """The best value of the metric per start, of those that measured it."""
    recorded = [case for case in cases if is_recorded(case, metric)]
    return [case.metrics[metric].best(case[metric]) for case in recorded]


def shared_row(members: Sequence[Row]) -> Row:
    """The first of several rows, with the parameters that all have, and the worst verdict."""
    common = {
        key: value
        for key, value in members[0]["parameters"].items()
        if all(row["parameters"].get(key) == value for row in members)
    }
    return members[0] | {"parameters": common} | _verdict(members)


def _verdict(members: Sequence[Row]) -> Row:
    """The status and validity of the group: those of its worst case."""
    status = next((row["status"] for row in members if row["status"] != "finished"), "finished")
    verdict: Row = {"status": status, "throttle": members[0]["throttle"]}
    for valid, reasons in (("valid", "reasons"), ("timing_valid", "timing_reasons")):
        said = [row[valid] for row in members]
        verdict[valid] = False if False in said else said[0]
        verdict[reasons] = list(dict.fromkeys(text for row in members for text in row[reasons]))
    return verdict


def with_ratios(row: Row, base: Row) -> Row:
    """The row, with the ratio of each of its costs to the baseline's where both are known."""
    return row | {f"{cost}_ratio": ratio(row[cost], base.get(cost)) for cost in COSTS}


def _value(key: str) -> Callable[[Row], Any]:
    return lambda row: row[key]


ARRIVED = Column("arrived", lambda row: f"{row['arrived']}/{row['starts']}", text)
COLUMNS = (
    Column("rounds", _value("rounds"), whole),
    Column("up", _value("uplink_bytes"), kilobytes),
    Column("least", _value("uplink_bytes_least"), kilobytes),
    Column("most", _value("uplink_bytes_most"), kilobytes),
    Column("up+down", _value("total_bytes"), kilobytes),
    Column("up/base", _value("uplink_bytes_ratio")),
    Column("up+down/base", _value("total_bytes_ratio")),
    ARRIVED,
    Column("lowest", _value("lowest"), scientific),
)
