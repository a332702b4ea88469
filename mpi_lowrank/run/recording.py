"""The record of a run: what is in it already, what becomes of each case, and who writes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mpi_lowrank.comm import parcels, world
from mpi_lowrank.config import Experiment
from mpi_lowrank.errors import UserError
from mpi_lowrank.record import Case
from mpi_lowrank.record.checkpoint import Checkpoint, beside
from mpi_lowrank.record.lock import Lock
from mpi_lowrank.record.reader import is_running
from mpi_lowrank.record.writer import RecordWriter
from mpi_lowrank.run.keys import Key
from mpi_lowrank.run.provenance import joined
from mpi_lowrank.run.resume import Plan, Step, plan

if TYPE_CHECKING:
    from mpi4py import MPI


class Recording:
    """The record of a run: made, it is locked and planned; `open` opens it. Collective.

    Only rank 0 has the record itself. `keys`: called on rank 0, what the numbers of each chosen
    case depend on. Raises AgreedError where another run writes `out`, or it holds something else.
    """

    writer: RecordWriter | None = None
    """On rank 0, once the record is open."""

    def __init__(
        self,
        comm: MPI.Intracomm,
        experiment: Experiment,
        out: Path,
        keys: Callable[[], Mapping[int, Key]],
        overwrite: bool,
    ):
        self._comm, self._experiment, self._out = comm, experiment, Path(out)
        self._overwrite, self._locks, self._open = overwrite, ExitStack(), False
        self._plan = Plan({})
        self.keys: Mapping[int, Key] = {}
        world.agree(comm, lambda: self._planned(keys) if comm.rank == 0 else None)
        told = {number: asdict(step) for number, step in self._plan.steps.items()}
        told = parcels.from_root(comm, told)
        self.steps = {int(number): Step(**step) for number, step in told.items()}

    def open(self, attributes: Callable[[], Mapping[str, object]]) -> None:
        """Begin the record or go on with it, once: called before each case that runs."""
        if not self._open:
            self._open, root = True, self._comm.rank == 0
            world.agree(self._comm, lambda: self._opened(attributes()) if root else None)

    def known(self, number: int) -> dict[str, object]:
        """The attributes by which a later run knows the case; on rank 0."""
        return {"number": number, "key": json.dumps(self.keys.get(number))}

    def drop(self, number: int) -> None:
        """Leave the case out of the record, so that it can run anew; the record is open."""
        self.steps[number] = Step("run")
        if self.writer:
            self.writer.drop(self._experiment.cases[number].label)

    def read(self, label: str) -> Case:
        """A case that has ended, of this run or of the one before; on rank 0."""
        if self.writer:
            return self.writer.read(label)
        assert self._plan.earlier is not None  # nothing is left to run: the record has all
        return self._plan.earlier.cases[label]

    def checkpoint(self, number: int) -> Checkpoint | None:
        """What the case goes on from; None on other ranks than 0."""
        return self._plan.checkpoint if self.steps[number].do == "go on" else None

    def close(self, finished: bool) -> None:
        """Write the rest, without communication. Raises UserError where it cannot be written."""
        with self._locks:
            if self.writer:
                file = beside(self.writer.live)
                self.writer.close(finished=finished)
                if finished:
                    file.unlink(missing_ok=True)

    def _planned(self, keys: Callable[[], Mapping[int, Key]]) -> None:
        self.keys = keys()
        if self._overwrite or not self._out.is_file():
            self._plan = Plan(dict.fromkeys(self.keys, Step("run")))
            return
        try:
            held = self._locks.enter_context(Lock(self._out)).held
            if not held and is_running(self._out):
                told = "may be written by a run that goes on: this file system cannot tell"
                raise UserError(f"{self._out}: {told}; move the file away or delete it first")
            self._plan = plan(self._out, self._experiment, self.keys)
        except UserError:
            self._locks.close()
            raise

    def _opened(self, attributes: Mapping[str, object]) -> None:
        labels = {number: case.label for number, case in enumerate(self._experiment.cases)}
        kept = self._plan.kept(labels)
        if earlier := self._plan.earlier:
            attributes = joined(earlier.attributes, attributes)
        try:
            self.writer = RecordWriter(self._out, attributes, self._overwrite, kept)
            if kept is None:
                self._locks.enter_context(Lock(self.writer.live))
        except UserError:
            self._locks.close()
            raise
