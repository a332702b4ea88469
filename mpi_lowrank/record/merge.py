"""Join records of one configuration, each of which has some of its cases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpi_lowrank.errors import UserError
from mpi_lowrank.record.image import along_rounds, image, in_memory, put
from mpi_lowrank.record.place import Place
from mpi_lowrank.record.reader import Case, Record, opened

UNFINISHED = ("running", "interrupted", "failed")
"""The statuses of cases in place of which another record's case of that label is taken."""


def merge(paths: Sequence[Path], out: Path) -> None:
    """Write all their cases to `out`, which must not exist, in the configuration's order.

    Of a case that several records have, the one that ended is taken. Raises UserError for records
    of different configurations, and for a case that ended in two records but differs there.
    """
    records = [Record(path) for path in paths]
    for record in records[1:]:
        if record.attributes.get("config") != records[0].attributes.get("config"):
            raise UserError(f"{record.path}: has another configuration than {records[0].path}")
    place = Place(out, overwrite=False)
    with in_memory() as file:
        put(file, _joined(records))
        cases = file.create_group("cases", track_order=True)
        for record, case in _chosen(records):
            with opened(record.path) as source:
                source.copy(source[case.group], cases)
            along_rounds(cases[case.group.rpartition("/")[2]]["rounds"])
        place.claim(image(file))


def _chosen(records: list[Record]) -> list[tuple[Record, Case]]:
    """One case per label, in the order of their numbers."""
    chosen: dict[str, tuple[Record, Case]] = {}
    for record in records:
        for label, case in record.cases.items():
            earlier = chosen.get(label)
            if earlier is None or _ended(case, earlier[1]):
                chosen[label] = record, case
    return sorted(chosen.values(), key=lambda one: int(one[1].attributes.get("number", 0)))


def _ended(case: Case, earlier: Case) -> bool:
    """Whether to take the case and not the earlier one; UserError if both ended and differ."""
    over = [one.attributes.get("status") not in UNFINISHED for one in (case, earlier)]
    if all(over) and case.attributes.get("key") != earlier.attributes.get("key"):
        told = f"its case {case.label!r} is not the one of {earlier.path}"
        raise UserError(f"{case.path}: {told}: options, data or code differ")
    return over[0] and not over[1]


def _joined(records: list[Record]) -> dict[str, Any]:
    """The root attributes: the first record's, and what all of them together have."""
    roots = [record.attributes for record in records]
    reasons = list(dict.fromkeys(r for root in roots for r in root.get("timing_reasons", [])))
    data: dict[str, str] = {}
    for root in roots:
        data |= dict(zip(root.get("data", []), root.get("data_sha256", []), strict=True))
    finished = all(root.get("status") == "finished" for root in roots)
    return roots[0] | {
        "status": "finished" if finished else "interrupted",
        "created": min(root.get("created", "") for root in roots),
        "data": sorted(data),
        "data_sha256": [data[name] for name in sorted(data)],
        "timing_valid": not reasons,
        "timing_reasons": reasons,
        "sessions": [session for root in roots for session in root.get("sessions", [])],
    }
