"""A case's rows, verdict, ledger and phases, as the record has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mpi_lowrank.comm import parcels
from mpi_lowrank.compressors import compressors
from mpi_lowrank.config import Case
from mpi_lowrank.record.schema import PHASES, PHASES_DTYPE
from mpi_lowrank.record.writer import RecordWriter
from mpi_lowrank.registry import Choice
from mpi_lowrank.run.assembly import Assembly, data_name
from mpi_lowrank.run.loop import Observer, Verdict
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
        "seed": case.seed,
    }


class Recorder(Observer):
    """Writes a case down. `writer` is the record's on rank 0, None elsewhere."""

    def __init__(self, made: Assembly, comm: MPI.Intracomm, writer: RecordWriter | None):
        self._made, self._comm, self._writer = made, comm, writer
        if writer:
            writer.start_case(made.case.label, _attributes(made), made.ground.problem.metrics)

    def flush(self) -> None:
        if self._writer:
            self._writer.flush()

    def row_measured(self, row: Row) -> None:
        if self._writer:
            self._writer.append(_columns(row, self._made))
        self.flush()
        self._made.door.barrier("evaluation")  # nobody's next round waits for rank 0's disk

    def case_ended(self, verdict: Verdict) -> None:
        ledger = parcels.gather_rows(self._comm, self._made.door.ledger.rows())
        phases = parcels.gather_rows(self._comm, _phases(self._made))
        if self._writer:
            self._writer.finish_case(_verdict(verdict), ledger, phases)


def _columns(row: Row, made: Assembly) -> dict:
    exchange = made.exchange
    return {
        "round": row.done,
        "seconds": row.seconds,
        **row.measures.columns(),
        "uplink_bytes": exchange.uplink_bytes,
        "downlink_bytes": exchange.downlink_bytes,
        "published_bits": made.channels.compressor.published_bits * exchange.messages,
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
