"""A row per case: what it cost, where it ended and when it reached a target."""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from mpi_lowrank.errors import UserError, one_of
from mpi_lowrank.record import METRICS, THEORY, Case, Metric, Record
from mpi_lowrank.report.costs import COSTS
from mpi_lowrank.report.numbers import BYTE_UNITS, byte_unit, finite, short
from mpi_lowrank.report.plain import plain

WIDTH = 100

Row = dict[str, Any]


def table_rows(records: list[Record], target: tuple[str, float] | None = None) -> list[Row]:
    """One JSON-ready row per case, in the order of the records and of their cases.

    Bytes are per worker, `total_bytes` is uplink + downlink; NaN and infinities are None. With a
    `target` (metric, value) a row also has `reached`: None, or the costs (COSTS) at the first
    recorded round that meets it, and `..._ratio`, each cost over the baseline's. Raises UserError
    for a metric that is no target or that no case recorded.
    """
    if target is not None:
        _check_target(records, target[0])
    return [
        row
        for name, record in zip(record_names(records), records, strict=True)
        for row in _record_rows(name, record, target)
    ]


def read_target(option: str, text: str) -> tuple[str, float]:
    """A command line's METRIC=VALUE as (metric, value). Raises UserError, naming the option."""
    metric, _, value = text.partition("=")
    try:
        return metric, float(value)
    except ValueError:
        example = "METRIC=NUMBER, such as grad_norm_sq=1e-6"
        raise UserError(f"{option} {text}: expected {example}") from None


def format_table(rows: list[Row]) -> str:
    """`rows` as text at most WIDTH wide: how cases ended, the target, what is not valid."""
    rows = plain(rows)
    shown = (metric for name, metric in row_metrics(rows).items() if name not in THEORY)
    columns = (*END, *map(_metric_column, shown))
    blocks = [block("At the end; bytes per worker", rows, columns)]
    if rows and "target" in rows[0]:
        blocks.append(block(_target_title(rows), rows, REACHED))
    blocks.append("\n".join(footnotes(rows)))
    return "\n\n".join(text for text in blocks if text)


def record_names(records: list[Record]) -> list[str]:
    """What to call each record: its file's stem, or its path where two have the same."""
    stems = [record.path.stem for record in records]
    return [
        stem if stems.count(stem) == 1 else str(record.path)
        for stem, record in zip(stems, records, strict=True)
    ]


def mark(row: Row) -> str:
    """The case's mark: "*" where a note tells why it is not a finished, valid run."""
    return "*" if case_note(row) else ""


def case_note(row: Row) -> str:
    """Why the row is not that of a finished, valid case; empty if it is."""
    status = {"finished": "", "running": "still running, or killed"}.get(row["status"])
    notes = [row["status"] if status is None else status]
    if row["valid"] is False:
        notes.append("not valid: " + ("; ".join(row["reasons"]) or "no reason recorded"))
    return "; ".join(note for note in notes if note)


def timing_note(row: Row) -> str:
    """Why the row's seconds mean nothing; empty if they do."""
    if row["timing_valid"] is not False:
        return ""
    return "seconds not valid: " + ("; ".join(row["timing_reasons"]) or "no reason recorded")


def validity(record: Record, case: Case) -> Row:
    """The case's status, valid and timing_valid with their reasons, the record's own included."""
    given, root = case.attributes, record.attributes
    verdicts = (given.get("timing_valid"), root.get("timing_valid"))
    reasons = [*given.get("timing_reasons", ()), *root.get("timing_reasons", ())]
    return {
        "status": given.get("status", "running"),
        "valid": given.get("valid"),
        "reasons": list(given.get("reasons", ())),
        "timing_valid": False if False in verdicts else verdicts[0],
        "timing_reasons": list(dict.fromkeys(reasons)),
    }


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


def _record_rows(name: str, record: Record, target: tuple[str, float] | None) -> list[Row]:
    baseline: Any = record.attributes.get("baseline")
    rows = [_row(name, record, case) for case in record.cases.values()]
    if target is not None:
        reached = {label: _reached(case, *target) for label, case in record.cases.items()}
        for row in rows:
            row["target"] = {"metric": target[0], "value": target[1]}
            row["reached"] = _with_ratios(reached[row["label"]], reached.get(baseline))
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
    uplink, downlink = float(case["uplink_bytes"][index]), float(case["downlink_bytes"][index])
    return {
        "rounds": int(case["round"][index]),
        "uplink_bytes": finite(uplink),
        "total_bytes": finite(uplink + downlink),
        "seconds": finite(float(case["seconds"][index])),
    }


def _reached(case: Case, metric: str, value: float) -> dict[str, int | float | None] | None:
    if metric not in case.metrics:
        return None
    met = case.metrics[metric].reached(case[metric], value)
    return _costs(case, int(np.argmax(met))) if np.any(met) else None


def _with_ratios(costs: Row | None, baseline: Row | None) -> Row | None:
    if costs is None:
        return None
    base = baseline or dict.fromkeys(COSTS)
    return costs | {f"{key}_ratio": ratio(costs[key], base[key]) for key in COSTS}


def ratio(value: float | None, base: float | None) -> float | None:
    """`value` over `base`; None if either is unknown, or the base is 0."""
    return value / base if base and value is not None else None


class Column(NamedTuple):
    header: str
    value: Callable[[Row], Any]
    show: Callable[[Any], str] = short
    in_bytes: bool = False
    timing: bool = False


def scientific(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def _integer(value: float | None) -> str:
    return "-" if value is None else str(value)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _end(key: str) -> Callable[[Row], float | None]:
    return lambda row: row[key]


def _at_target(key: str) -> Callable[[Row], float | None]:
    return lambda row: (row["reached"] or {}).get(key)


def _metric_column(metric: Metric) -> Column:
    return Column(metric.heading, lambda row: row.get(metric.name), SHOWN[metric.scale])


SHOWN = {"decades": scientific, "plain": lambda value: short(value, 4), "percent": _percent}
END = (
    Column("rounds", _end("rounds"), _integer),
    Column("up", _end("uplink_bytes"), in_bytes=True),
    Column("down", _end("downlink_bytes"), in_bytes=True),
    Column("seconds", _end("seconds"), timing=True),
)
REACHED = (
    Column("rounds", _at_target("rounds"), _integer),
    Column("up", _at_target("uplink_bytes"), in_bytes=True),
    Column("up+down", _at_target("total_bytes"), in_bytes=True),
    Column("seconds", _at_target("seconds"), timing=True),
    Column("up/base", _at_target("uplink_bytes_ratio")),
    Column("up+down/base", _at_target("total_bytes_ratio")),
)


def _target_title(rows: list[Row]) -> str:
    metric, value = rows[0]["target"]["metric"], rows[0]["target"]["value"]
    bases = dict.fromkeys(row["label"] for row in rows if row["baseline"])
    against = f"; base is {', '.join(bases)}" if bases else ""
    return f"To {metric} {row_metrics(rows)[metric].sign} {value:g}; bytes per worker{against}"


def block(title: str, rows: list[Row], columns: Sequence[Column], named: str = "case") -> str:
    """The rows as a table at most WIDTH wide; its first column, `named` so, has their labels."""
    recorded = [column for column in columns if any(column.value(row) is not None for row in rows)]
    recorded = recorded or list(columns[:1])  # no case began, or none reached the target
    cells = [_cells(column, rows) for column in recorded]
    widths = [max(map(len, column)) for column in cells]
    gap = "  " if sum(widths) + 2 * len(widths) + _label_width(rows) <= WIDTH else " "
    room = WIDTH - sum(widths) - len(gap) * len(widths)
    labels = _labels(rows, room, named)
    lines = [
        gap.join([label, *(cell.rjust(width) for cell, width in zip(line, widths, strict=True))])
        for label, line in zip(labels, zip(*cells, strict=True), strict=True)
    ]
    return "\n".join([title, *_with_headings([line.rstrip() for line in lines], rows)])


def _cells(column: Column, rows: list[Row]) -> list[str]:
    values = [column.value(row) for row in rows]
    if column.in_bytes:
        unit = byte_unit(values)
        scaled = [value if value is None else value / BYTE_UNITS[unit] for value in values]
        return [f"{column.header} {unit}", *map(short, scaled)]
    doubtful = [column.timing and timing_note(row) and column.value(row) for row in rows]
    marks = ["~" if doubt else "" for doubt in doubtful]
    shown = [column.show(value) + sign for value, sign in zip(values, marks, strict=True)]
    return [column.header, *shown]


def _label_width(rows: list[Row]) -> int:
    return max((len(row["label"] + mark(row)) for row in rows), default=0)


def _labels(rows: list[Row], room: int, named: str) -> list[str]:
    width = min(max(_label_width(rows), len(named)), room)
    labels = [named, *(_fit(row["label"], width - len(mark(row))) + mark(row) for row in rows)]
    return [label.ljust(width) for label in labels]


def _fit(label: str, width: int) -> str:
    """`label` with its middle left out if it is too long: both ends tell cases apart."""
    if len(label) <= width:
        return label
    head = (width - 1) // 2
    return label[:head] + "…" + label[len(label) - (width - 1 - head) :]


def _with_headings(lines: list[str], rows: list[Row]) -> list[str]:
    """The header line and the rows, with each record's name above its rows if there are several."""
    if len({row["record"] for row in rows}) < 2:
        return lines
    result, current = lines[:1], None
    for row, line in zip(rows, lines[1:], strict=True):
        if row["record"] != current:
            current = row["record"]
            result.append(f"-- {current}")
        result.append(line)
    return result


def footnotes(rows: list[Row], timing: bool = True) -> list[str]:
    """Lines that tell which rows are not valid, and with `timing` which seconds are not."""
    notes = _grouped("*", rows, case_note)
    notes += _grouped("~", rows, timing_note) if timing else []
    return [line for note in notes for line in textwrap.wrap(note, WIDTH, subsequent_indent="  ")]


def _grouped(sign: str, rows: list[Row], note_of: Callable[[Row], str]) -> list[str]:
    """One line per note, with the cases it is about unless it is about all."""
    noted: dict[str, list[Row]] = {}
    for row in rows:
        noted.setdefault(note_of(row), []).append(row)
    return [
        f"{sign} {note}" + ("" if len(about) == len(rows) else f" ({_about(about, rows)})")
        for note, about in noted.items()
        if note
    ]


def _about(noted: list[Row], rows: list[Row]) -> str:
    """The labels of the noted rows; the record's name if all of its rows are noted."""
    names: list[str] = []
    for record in dict.fromkeys(row["record"] for row in noted):
        labels = [row["label"] for row in noted if row["record"] == record]
        whole = len(labels) == sum(row["record"] == record for row in rows)
        names += [f"all of {record}"] if whole else labels
    return ", ".join(names)
