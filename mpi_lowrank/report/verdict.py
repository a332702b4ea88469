"""What is not valid, or has not finished: how rows and their tables tell it."""

import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from mpi_lowrank.errors import UserError
from mpi_lowrank.record import Case, Record

WIDTH = 100
"""Characters of a line of text."""

MIXED = "some are real and some modelled, or modelled for several networks"

Row = dict[str, Any]


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
        "throttle": given.get("throttle"),
    }


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
    """Why the row's seconds are not those of a valid measurement; empty if they are."""
    notes = [f"seconds are modelled, {row['throttle']}"] if row.get("throttle") else []
    if row["timing_valid"] is False:
        why = "; ".join(row["timing_reasons"]) or "no reason recorded"
        notes.append(f"seconds not valid: {why}")
    return "; ".join(notes)


def comparable(throttles: Iterable[str | None]) -> bool:
    """Whether seconds may stand side by side: all are real, or modelled for one network."""
    return len(set(throttles)) < 2


def has_seconds(records: list[Record]) -> bool:
    """Whether the seconds of all cases may stand in one table or figure."""
    cases = (case for record in records for case in record.cases.values())
    return comparable(case.attributes.get("throttle") for case in cases)


def check_seconds(records: list[Record]) -> None:
    """Raise UserError where `has_seconds` is false, for what is made of seconds."""
    if not has_seconds(records):
        names = ", ".join(str(record.path) for record in records)
        raise UserError(f"{names}: seconds cannot be compared: {MIXED}")


def footnotes(rows: list[Row], timing: bool = True) -> list[str]:
    """Lines that tell which rows are not valid, and with `timing` which seconds are not."""
    notes = _grouped("*", rows, case_note)
    notes += _timing(rows) if timing else []
    return [line for note in notes for line in textwrap.wrap(note, WIDTH, subsequent_indent="  ")]


def _timing(rows: list[Row]) -> list[str]:
    if comparable(row.get("throttle") for row in rows):
        return _grouped("~", rows, timing_note)
    return [f"seconds are left out: {MIXED}"]


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
