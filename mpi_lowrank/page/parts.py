"""The parts of the page that need no JavaScript, as HTML in which every text is escaped."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from html import escape
from typing import Any

import numpy as np

from mpi_lowrank.record import PHASES, THEORY, Case, Record
from mpi_lowrank.report import style
from mpi_lowrank.report.best import Step, blocks_of, in_order
from mpi_lowrank.report.layout import Column, Table, cell, kilobytes, text, whole
from mpi_lowrank.report.numbers import finite, short
from mpi_lowrank.report.plain import plain
from mpi_lowrank.report.show import format_show, show
from mpi_lowrank.report.table import told_target
from mpi_lowrank.report.verdict import Row, case_note, mark, timing_note

AMOUNTS: dict[str, Callable[[float], str]] = {
    "rounds": lambda value: f"{whole(value)} rounds",
    "uplink_bytes": lambda value: f"{kilobytes(value)} KB up per worker",
    "total_bytes": lambda value: f"{kilobytes(value)} KB up and down per worker",
    "seconds": lambda value: f"{short(value)} s",
}


def html_of(tables: Iterable[Table]) -> str:
    """The tables; a cell's `data-value` is its number in full."""
    return "\n".join(map(_table, plain_tables(tables)))


def plain_tables(tables: Iterable[Table]) -> list[Table]:
    return [
        table._replace(rows=plain(table.rows), title=_plain_lines(table.title)) for table in tables
    ]


def _table(table: Table) -> str:
    columns = table.recorded()
    titles = (table.named, *(column.header for column in columns))
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "\n".join(f"<tr>{_row(row, columns)}</tr>" for row in table.rows)
    return (
        f"<p class=caption>{escape(table.title)}</p><div class=scroll><table>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _row(row: Row, columns: Sequence[Column]) -> str:
    cells = "".join(
        f'<td data-value="{_value(column.value(row))}">{escape(cell(column, row))}</td>'
        for column in columns
    )
    name = re.sub(r"[,+]|\w\(", r"\g<0><wbr>", escape(row["label"] + mark(row)))
    return f"<th scope=row>{name}</th>{cells}"


def _value(value: object) -> str:
    return "" if value is None else escape(str(value))


def verdict(rows: list[Row], by: str) -> str:
    """What the rows of `best_rows` come to: a sentence per setting, each on its line."""
    blocks = [in_order(block, by) for block in blocks_of(rows)]
    settings = [block[0]["setting"] for block in blocks]
    differ = [key for key in settings[0] if any(one[key] != settings[0][key] for one in settings)]
    return "\n".join(_sentence(block, by, differ) for block in blocks)


def _sentence(rows: list[Row], by: str, differ: list[str]) -> str:
    """Of one setting, told by the keys in which it differs from others."""
    first, arrived = rows[0], sum(row[by] is not None for row in rows)
    told = told_target(rows, first["target"]).removeprefix("To ")
    named = ", ".join(f"{key} {first['setting'][key]}" for key in differ)
    where = f"With {named}: " if differ else ""
    if first[by] is None:
        return f"{where}no method reaches {told}; {first['name']} comes nearest."
    ratio = first[f"{by}_ratio"]
    bases = [row["name"] for row in rows if row["baseline"]]
    against = "" if ratio is None or first["baseline"] else f", {short(ratio)} of {bases[0]}'s"
    return (
        f"{where}{first['name']} at step {first['stepsize']} is the cheapest to {told}: "
        f"{AMOUNTS[by](first[by])}{against}; {arrived} of {len(rows)} methods arrive."
    )


def phases(steps: Iterable[Step]) -> str:
    """Milliseconds per round in each phase, mean over ranks and seeds, as a table with bars."""
    rows = [step.row | {"phases": told} for step in steps if (told := _phases(step.cases))]
    if not rows:
        return "<p>No phases are recorded.</p>"
    columns = [Column(phase, partial(_phase, phase), timing=True) for phase in style.PHASE_FILLS]
    title = "Milliseconds per round, mean over ranks and seeds"
    most = max(sum(row["phases"].values()) for row in rows)
    bars = "\n".join(_bar(row, most) for row in rows)
    legend = " ".join(
        f'<span><i style="background:{fill["facecolor"]}"></i>{phase}</span>'
        for phase, fill in style.PHASE_FILLS.items()
    )
    table = html_of([Table(title, rows, columns, "method")])
    return f"<p class=legend>{legend}</p><div class=bars>{bars}</div>{table}"


def _phase(phase: str, row: Row) -> float:
    return float(row["phases"][phase])


def _phases(cases: Iterable[Case]) -> dict[str, float]:
    timed = [case for case in cases if len(case.phases) and len(case)]
    return {
        phase: float(np.mean([_per_round(case, phase) for case in timed]))
        for phase in PHASES
        if timed and phase in style.PHASE_FILLS
    }


def _per_round(case: Case, phase: str) -> float:
    return 1e3 * float(case.phases[phase].mean()) / max(int(case["round"][-1]), 1)


def _bar(row: Row, most: float) -> str:
    parts = "".join(
        f'<i style="width:{100 * row["phases"][phase] / (most or 1):.2f}%;'
        f'background:{fill["facecolor"]}"></i>'
        for phase, fill in style.PHASE_FILLS.items()
    )
    return f"<span>{escape(plain(row['label']))}</span><div>{parts}</div>"


def certificates(cases: Iterable[Case]) -> str:
    """What each compressor promised in these runs, beside what theory columns measured."""
    rows: dict[tuple, Row] = {}
    for case in cases:
        row = _certificate(case)
        known = rows.setdefault((row["label"], row["message_bytes"], row["constant"]), row)
        least = [one["realised"] for one in (known, row) if one["realised"] is not None]
        known["realised"] = min(least, default=None)
    told = Table("Declared constants and messages", list(rows.values()), PROMISED, "compressor")
    return html_of([told])


def _certificate(case: Case) -> Row:
    given = case.attributes
    name = next((key for key in ("alpha", "omega") if key in given), None)
    held = case["realised_alpha"] if THEORY.keys() <= case.metrics.keys() else np.full(1, np.nan)
    return {
        "label": str(given.get("compressor", "-")),
        "record": "",
        "status": "finished",
        "valid": None,
        "family": given.get("family"),
        "constant": f"{name} = {short(given[name], 4)}" if name else None,
        "holds": given.get("contraction") if name == "alpha" else None,
        "message_bytes": given.get("message_bytes"),
        "realised": finite(float(np.nanmin(held))) if not np.isnan(held).all() else None,
    }


PROMISED = (
    Column("sends", lambda row: row["family"], text),
    Column("constant", lambda row: row["constant"], text),
    Column("for each", lambda row: row["holds"], text),
    Column("bytes per message", lambda row: row["message_bytes"], whole),
    Column("least realised alpha", lambda row: row["realised"]),
)


def validity(rows: list[Row]) -> str:
    """How many cases are what they should be, and why the others are not."""
    sound = sum(not mark(row) for row in rows)
    timed = sum(not timing_note(row) for row in rows)
    notes = [_note(sign, rows, tell) for sign, tell in (("*", case_note), ("~", timing_note))]
    return (
        f"<p>{sound} of {len(rows)} cases finished and are valid; "
        f"the seconds of {timed} are valid.</p>{''.join(notes)}"
    )


def _note(sign: str, rows: list[Row], tell: Callable[[Row], str]) -> str:
    """Each note, and folded away the cases that it is about."""
    about: dict[str, list[str]] = {}
    for row in plain(rows):
        about.setdefault(tell(row), []).append(f"{row['record']}: {row['label']}")
    return "".join(
        f"<details><summary>{sign} {escape(note)} ({len(labels)} of {len(rows)})</summary>"
        f"<p class=note>{escape('; '.join(labels))}</p></details>"
        for note, labels in about.items()
        if note
    )


def provenance(records: list[Record]) -> str:
    told = [format_show(show(record) | {"cases": [], "config": None}) for record in records]
    return "".join(f"<pre>{escape(one.strip())}</pre>" for one in told)


def configurations(records: list[Record]) -> str:
    texts = dict.fromkeys(str(record.attributes.get("config", "")) for record in records)
    return "".join(f"<pre class=copied>{escape(_plain_lines(one))}</pre>" for one in texts if one)


def _plain_lines(text: str) -> str:
    return "\n".join(plain(line) for line in text.expandtabs().splitlines())


def script_json(value: Any) -> str:
    """JSON that no text in it can end the element of."""
    told = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return told.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
