"""What becomes of each case where there already is a record: it stays, goes on or runs anew."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mpi_lowrank.config import Case, Experiment
from mpi_lowrank.config.tune import units
from mpi_lowrank.errors import UserError
from mpi_lowrank.machine import output
from mpi_lowrank.record import Record
from mpi_lowrank.record.checkpoint import Checkpoint, beside, read
from mpi_lowrank.record.reader import Case as Recorded
from mpi_lowrank.run.keys import Key, differences

SHOWN = 3
"""The most differences that an error names."""

DONE = ("finished", "diverged", "stopped")
"""The statuses of cases that would end the same way if they ran again."""


@dataclass(frozen=True)
class Step:
    """What is done with a case of the configuration."""

    do: Literal["run", "stay", "go on"]
    done: int = 0
    """The rounds that are over."""
    was: str = ""
    """Its status in the record."""
    reasons: tuple[str, ...] = ()
    """Why it is not valid, where it stays."""


@dataclass(frozen=True)
class Plan:
    """What is done with the chosen cases, by their number in the configuration; on rank 0."""

    steps: dict[int, Step]
    earlier: Record | None = None
    checkpoint: Checkpoint | None = None
    """Of the case that goes on."""

    def kept(self, labels: Mapping[int, str]) -> list[str] | None:
        """The labels of what the record keeps; None where there is no record."""
        anew = {labels[number] for number, step in self.steps.items() if step.do == "run"}
        return None if self.earlier is None else [c for c in self.earlier.cases if c not in anew]


def plan(path: Path, experiment: Experiment, keys: Mapping[int, Key]) -> Plan:
    """What to do where `path` may be a record; `keys` of the chosen cases, by their number.

    Raises UserError for another file, or a record of other cases.
    """
    if not path.exists():
        return Plan(dict.fromkeys(keys, Step("run")))
    record = _earlier(path)
    labels = [case.label for case in experiment.cases]
    if strange := [label for label in record.cases if label not in labels]:
        told = f"holds the case {strange[0]!r}, which {experiment.source} does not have"
        raise UserError(f"{path}: {told}; {_ADVICE}")
    checkpoint = _checkpoint(path)
    steps = {}
    for number, key in keys.items():
        case = record.cases.get(labels[number])
        steps[number] = Step("run") if case is None else _step(path, case, key, checkpoint)
    return Plan(steps, record, checkpoint)


_ADVICE = "give another name, or --overwrite to start anew"


def _earlier(path: Path) -> Record:
    try:
        return Record(path)
    except UserError as error:
        raise UserError(f"{error}; {_ADVICE}") from error


def _checkpoint(path: Path) -> Checkpoint | None:
    file = beside(path)
    try:
        return read(file)
    except UserError as error:
        output.complain("warning", f"{error}; its case starts over")
        return None


def _step(path: Path, case: Recorded, key: Key, checkpoint: Checkpoint | None) -> Step:
    _check_key(path, case, key)
    status = str(case.attributes.get("status"))
    if status in DONE:
        valid = case.attributes.get("valid")
        reasons = () if valid else tuple(case.attributes.get("reasons", ()))
        return Step("stay", was=status, reasons=reasons)
    if status in ("running", "interrupted") and checkpoint and _fits(case, checkpoint):
        return Step("go on", checkpoint.done, was=status)
    return Step("run", was=status)


def _fits(case: Recorded, checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint is the case's, and the record holds what it builds on."""
    ours = checkpoint.case == case.attributes.get("run_id")
    return ours and bool(np.any(case["round"] == 0)) and checkpoint.done > 0


def _check_key(path: Path, case: Recorded, key: Key) -> None:
    try:
        old = json.loads(str(case.attributes["key"]))
    except (KeyError, ValueError) as error:
        told = (
            f"does not say what its case {case.label!r} depends on, as records of this version do"
        )
        raise UserError(f"{path}: {told}; {_ADVICE}") from error
    if found := differences(old, key):
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        told = f"holds another {case.label!r}: {', '.join(found[:SHOWN])}{more}"
        raise UserError(f"{path}: {told}; {_ADVICE}")


def format_plan(steps: Mapping[int, Step], cases: Sequence[Case]) -> str:
    """A line per case: what a run would do with it; one for the steps that a search may try."""
    tuned = {n for n, step in steps.items() if cases[n].tune and step.do == "run" and not step.was}
    lines = {number: _told(step) for number, step in steps.items() if number not in tuned}
    for unit in units(cases, sorted(tuned)):
        lines[unit[0]] = f"a search may run {len(unit)} cases, as"
    return "\n".join(f"{told:<42}{cases[number].label}" for number, told in sorted(lines.items()))


def _told(step: Step) -> str:
    if step.do == "stay":
        return f"stays ({step.was})"
    if step.do == "go on":
        return f"goes on after round {step.done} ({step.was})"
    return f"starts over ({step.was})" if step.was else "runs"
