"""A case's rows, verdict, ledger and phases, as the record has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mpi_lowrank.comm import parcels
from mpi_lowrank.compressors import compressors
from mpi_lowrank.config import Case
from mpi_lowrank.door.network import Network
from mpi_lowrank.record.metrics import THEORY
from mpi_lowrank.record.schema import PHASES, PHASES_DTYPE
from mpi_lowrank.record.writer import RecordWriter
from mpi_lowrank.registry import Choice
from mpi_lowrank.run.assembly import Assembly, data_name
from mpi_lowrank.run.loop import Observer, Verdict
from mpi_lowrank.run.resume import Step
from mpi_lowrank.run.rows import Row
from mpi_lowrank.run.stepsize import multiple

if TYPE_CHECKING:
    from mpi4py import MPI


def described(case: Case, workers: int) -> dict:
    """A case's attributes in the record, as far as its configuration tells them."""
    return {
        "method": str(case.method),
        "compressor": str(case.compressor),
        "step": None if case.step == Choice("plain") else str(case.step),
        "family": compressors[case.compressor.name].family,
        "problem": str(case.problem),
        "data": data_name(case),
        "order": case.data.dealt,
        "test_fraction": case.data.test_fraction,
        "workers": workers,
        "topology": case.topology,
        "dtype": case.dtype,
        "sync_every": case.sync_every,
        "throttle": str(Network.read(case.throttle)) if case.throttle else None,
        "seed": case.seed,
    }


class Recorder(Observer):
    """Writes a case into the record. `writer` is None on other ranks than 0.

    `known`: attributes by which a later run knows the case. `step`: whether it begins or goes on.
    """

    def __init__(
        self,
        made: Assembly,
        comm: MPI.Intracomm,
        writer: RecordWriter | None,
        known: Mapping[str, object],
        step: Step,
    ):
        self._made, self._comm, self._writer = made, comm, writer
        self.checkpoints = made.notes.array("checkpoints", 2)
        """(2,): how many were taken, and their seconds on rank 0."""
        label = made.case.label
        if writer and step.do == "go on":
            writer.go_on(label, step.done)
        elif writer:
            attributes, own = _attributes(made) | dict(known), made.ground.problem.metrics
            writer.start_case(label, attributes, (*own, *(THEORY.values() if made.theory else ())))

    def flush(self) -> None:
        if self._writer:
            self._writer.flush()

    def row_measured(self, row: Row) -> None:
        if self._writer:
            self._writer.append(_columns(row, self._made))
        self.flush()
        self._made.door.barrier("evaluation")  # nobody's next round waits for rank 0's disk

    def note_calls(self) -> None:
        """Collective: write the ledgers as they are now."""
        tables = self._tables()
        if self._writer:
            self._writer.set_tables(*tables)

    def keep(self, done: int, arrays: dict[str, np.ndarray], ranks: int) -> None:
        """On rank 0: write a checkpoint, once the record holds all that it builds on."""
        if self._writer:
            self._writer.keep(done, arrays, ranks)

    def case_ended(self, verdict: Verdict) -> None:
        tables = self._tables()
        taken, seconds = self.checkpoints.tolist()
        cost = {"checkpoints": int(taken), "checkpoint_seconds": seconds}
        if self._writer:
            self._writer.finish_case(_verdict(verdict) | cost, *tables)

    def _tables(self) -> tuple[np.ndarray, np.ndarray]:
        ledger = parcels.gather_rows(self._comm, self._made.door.ledger.rows())
        return ledger, parcels.gather_rows(self._comm, _phases(self._made))


def _columns(row: Row, made: Assembly) -> dict:
    exchange = made.exchange
    return {
        "round": row.done,
        "seconds": row.seconds,
        **row.columns(),
        "uplink_bytes": exchange.uplink_bytes,
        "downlink_bytes": exchange.downlink_bytes,
        "published_bits": exchange.published_bits,
    }


def _attributes(made: Assembly) -> dict:
    case, constants, compressor = made.case, made.ground.constants, made.channels.compressor
    return described(case, made.ground.placement.total) | {
        "stepsize": float(made.method.stepsize),
        "multiple": multiple(case),
        "L": constants.L,
        "L_tilde": constants.L_tilde,
        "L_i": constants.L_i,
        "alpha": compressor.alpha,
        "omega": compressor.omega,
        "message_bytes": compressor.nbytes,
        "state_bytes": made.state.nbytes,
        "contraction": compressor.contraction,
        "reduction": case.reduction if compressor.shared else None,
        "blocks": made.channels.blocks,
        **(made.theory.attributes() if made.theory else {}),
    }


def _verdict(verdict: Verdict) -> dict:
    return {
        "status": verdict.status,
        "valid": not verdict.reasons,
        "reasons": verdict.reasons,
        "timing_valid": not verdict.timing,
        "timing_reasons": verdict.timing,
    }


def _phases(made: Assembly) -> np.ndarray:
    row = np.zeros(1, PHASES_DTYPE)
    row["rank"] = made.door.rank
    for phase in PHASES:
        row[phase] = made.clock.seconds[phase]
    return row
