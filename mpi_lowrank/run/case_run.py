"""One case, from x^0 to its last row: the only loop over rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mpi_lowrank.comm import failures, parcels
from mpi_lowrank.comm.agreement import Agreement
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, Operator
from mpi_lowrank.config import Case, over_L
from mpi_lowrank.datasets.local import LocalShards
from mpi_lowrank.door import Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.errors import OptionError
from mpi_lowrank.exchange import Exchange
from mpi_lowrank.machine.clock import Clock
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Constants, Method, Setting
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Problem
from mpi_lowrank.randomness import SHARED, Purpose, Stream
from mpi_lowrank.record.schema import PHASES, PHASES_DTYPE
from mpi_lowrank.record.writer import RecordWriter
from mpi_lowrank.registry import Choice
from mpi_lowrank.run.components import dense_beside, initial, make_compressor
from mpi_lowrank.run.evaluation import Evaluator, Measures
from mpi_lowrank.run.gradients import Gradients
from mpi_lowrank.run.interruption import Interruption
from mpi_lowrank.run.progress import Progress
from mpi_lowrank.run.validity import Watch, check_bytes, check_estimate, check_replicas
from mpi_lowrank.state import State

if TYPE_CHECKING:
    from mpi4py import MPI

HOPELESS = 1e12
"""A case has diverged when its loss exceeds its first one by this factor."""


@dataclass(frozen=True)
class Setup:
    """What cases of the same workers, data and problem share."""

    placement: Placement
    shards: LocalShards
    problem: Problem
    constants: Constants
    reasons: list[str]


def described(case: Case, workers: int) -> dict:
    """A case's attributes in the record, as far as its configuration tells them."""
    return {
        "method": str(case.method),
        "compressor": str(case.compressor),
        "family": compressors[case.compressor.name].family,
        "problem": str(case.problem),
        "data": case.data.name or problems[case.problem.name].default_data,
        "order": case.data.order,
        "test_fraction": case.data.test_fraction,
        "workers": workers,
        "topology": case.topology,
        "dtype": case.dtype,
        "seed": case.seed,
    }


class CaseRun:
    """One case on this rank, from x^0 to its last row."""

    def __init__(
        self,
        case: Case,
        setup: Setup,
        door: Door,
        comm: MPI.Intracomm,
        writer: RecordWriter | None,
        interruption: Interruption,
    ):
        self.case, self.setup, self.writer, self.root = case, setup, writer, comm.rank == 0
        self.comm, self.door, self.ledger = comm, door, door.ledger
        placement, problem = setup.placement, setup.problem
        self.clock = Clock()
        dtype = np.dtype(case.dtype)
        self.state = State(placement.local, dtype)
        self.exchange = Exchange(
            door,
            placement,
            self.clock,
            problem.d,
            dtype,
            case.topology,
            case.reduction,
            case.seed,
            self.state,
        )
        failures.together(comm, self._make)
        self.exchange.warm_up()
        self._agreement = Agreement(door, interruption.wished)
        # Seconds, whether any rank had what cannot be sent.
        self._slowest = np.zeros(2)
        self._scale, self._first_loss = 0.0, np.inf

    def _make(self) -> None:
        """Make what the case runs on and allocate for it, without communication."""
        problem, local, dtype = self.setup.problem, self.setup.placement.local, self.exchange.dtype
        self.compressor, self.blocks = self._prepared(self.case.compressor, "uplink")
        self.gradients = Gradients(problem, local, dtype, self.clock)
        self.method = self._make_method()
        self.watch = Watch(self.method, self.exchange)
        self.evaluate = self._make_evaluator()

    def _prepared(self, choice: Choice, name: str) -> tuple[Operator, list[str]]:
        problem, workers = self.setup.problem, self.setup.placement.total
        compressor, blocks = make_compressor(choice, self.case.dtype, problem.blocks, workers)
        self.exchange.prepare(compressor, name)
        return compressor, blocks

    def _make_downlink(self, choice: Choice) -> Compressor:
        compressor, _ = make_compressor(choice, self.case.dtype, self.setup.problem.blocks, 1)
        self.exchange.prepare_broadcast(compressor)
        return compressor

    def _make_method(self) -> Method:
        case, setup = self.case, self.setup
        problem, placement = setup.problem, setup.placement
        setting = Setting(
            gradients=self.gradients,
            exchange=self.exchange,
            compressor=self.compressor,
            dense=self._prepared(dense_beside(case.compressor), "whole")[0],
            state=self.state,
            x0=initial(case, problem),
            stepsize=self._stepsize(),
            numbers=placement.workers,
            total=placement.total,
            shared=Stream(case.seed, Purpose.PARTICIPATE, SHARED),
            make=self._make_downlink,
        )
        return methods[case.method.name](setting, **case.method.arguments())

    def _make_evaluator(self) -> Evaluator:
        case, placement, shards = self.case, self.setup.placement, self.setup.shards
        return Evaluator(
            self.setup.problem,
            self.gradients,
            self.door,
            placement.local,
            placement.total,
            rows=(shards.train_rows, shards.test_rows),
            loss_every=case.loss_every if case.stop.keys() <= {"grad_norm_sq"} else 1,
        )

    def _stepsize(self) -> float:
        """The case's stepsize. Raises OptionError if it is 0 or infinite in the state's dtype."""
        case = self.case
        self.multiple = (case.multiple or 1.0) if case.stepsize is None else None
        try:
            stepsize = self._computed_stepsize()
        except ZeroDivisionError:  # L = 0: the gradient is the same everywhere
            stepsize = np.inf
        if not 0 < np.dtype(case.dtype).type(stepsize) < np.inf:
            key = "stepsize" if self.multiple is None else "multiple"
            given = case.stepsize if self.multiple is None else self.multiple
            allowed = f"one that makes the stepsize a {case.dtype} above 0: it is {stepsize:g}"
            raise OptionError(key, given, allowed)
        return stepsize

    def _computed_stepsize(self) -> float:
        case, constants = self.case, self.setup.constants
        if isinstance(case.stepsize, str):
            return over_L(case.stepsize) / constants.L
        if case.stepsize is not None:
            return case.stepsize
        method, options = methods[case.method.name], case.method.arguments()
        return self.multiple * method.theory_stepsize(constants, self.compressor, **options)

    def rounds(self, progress: Progress) -> str:
        """Run until a target, the last round or divergence; the case's status."""
        if self.root:
            self.writer.start_case(self.case.label, self._attributes())
        measures = self._row(0)
        self._first_loss = measures.loss
        if self._diverged(measures):
            return "diverged"
        asked = self._asked(0)
        for t in range(self.case.rounds):
            if self._stops(measures):
                return "finished"
            if asked:
                return "interrupted"
            self._round(t)
            done = t + 1
            asked = self._asked(done)
            if asked or self._astray() or self._is_evaluated(done):
                measures = self._row(done, asked)
                progress.show(done, measures)
                if self._diverged(measures):
                    return "diverged"
        return "finished"

    def _asked(self, done: int) -> bool:
        """Collective: whether a rank was asked to stop; False in most rounds, where none asks."""
        if not self._agreement.due(done):
            return False
        if self.root:
            self.writer.flush()
        return self._agreement.reach(done)

    def _is_evaluated(self, done: int) -> bool:
        return done % self.case.evaluate_every == 0 or done == self.case.rounds

    def _astray(self) -> bool:
        return not np.isfinite(self.method.x @ self.method.x)

    def _diverged(self, measures: Measures) -> bool:
        hopeless = measures.loss > HOPELESS * (1 + self._first_loss)
        return bool(hopeless or self._slowest[1] or not measures.finite or self._astray())

    def _is_last(self, done: int, measures: Measures) -> bool:
        """Whether the row after `done` rounds is the case's last one."""
        ends = done == self.case.rounds or self._stops(measures)
        return bool(ends or self._diverged(measures))

    def _stops(self, measures: Measures) -> bool:
        return any(measures.reaches(metric, v) for metric, v in self.case.stop.items())

    def _round(self, t: int) -> None:
        self.door.round = self.exchange.round = t
        with self.watch.watching(t):
            self.clock.resume()
            self.method.round(t)
            self.clock.pause()

    def _row(self, done: int, last: bool = False) -> Measures:
        """Evaluate and record the model after `done` rounds, outside the method's clock."""
        with self.clock.evaluation():
            measures = self.evaluate(self.method.x, done)
            self._scale = max(self._scale, measures.worker_norm)
            mine = np.array([self.clock.total(), self.exchange.unsendable])
            self.door.maximum(mine, self._slowest, "evaluation")
            if not measures.whole and (last or self._is_last(done, measures)):
                measures = self.evaluate(self.method.x, done, last=True)
            if self.root:
                self.writer.append(self._columns(done, measures))
                self.writer.flush()
            self.door.barrier("evaluation")  # nobody's next round waits for rank 0's disk
        return measures

    def _columns(self, done: int, measures: Measures) -> dict:
        return {
            "round": done,
            "seconds": self._slowest[0],
            "loss": measures.loss,
            "grad_norm_sq": measures.grad_norm_sq,
            "train_accuracy": measures.train_accuracy,
            "test_accuracy": measures.test_accuracy,
            "uplink_bytes": self.exchange.uplink_bytes,
            "downlink_bytes": self.exchange.downlink_bytes,
            "published_bits": self.compressor.published_bits * self.exchange.messages,
        }

    def _attributes(self) -> dict:
        case, constants = self.case, self.setup.constants
        return described(case, self.setup.placement.total) | {
            "stepsize": float(self.method.stepsize),
            "multiple": self.multiple,
            "L": constants.L,
            "L_tilde": constants.L_tilde,
            "L_i": constants.L_i,
            "alpha": self.compressor.alpha,
            "omega": self.compressor.omega,
            "message_bytes": self.compressor.nbytes,
            "contraction": self.compressor.contraction,
            "reduction": case.reduction if self.compressor.shared else None,
            "blocks": self.blocks,
        }

    def finish(self, status: str, timing: list[str]) -> None:
        """Check the case, and let rank 0 write its verdict, its ledger and its phases.

        `timing` holds why its seconds are not to be trusted.
        """
        reasons = self.setup.reasons + self._check(status)
        ledger = parcels.gather_rows(self.comm, self.ledger.rows())
        phases = parcels.gather_rows(self.comm, self._phases())
        if self.root:
            verdict = {
                "status": status,
                "valid": not reasons,
                "reasons": reasons,
                "timing_valid": not timing,
                "timing_reasons": timing,
            }
            self.writer.finish_case(verdict, ledger, phases)

    def _check(self, status: str) -> list[str]:
        total, rounds = self.setup.placement.total, self.exchange.round + 1
        reasons = check_bytes(self.door, self.exchange) + check_replicas(self.door, self.method.x)
        if status != "diverged":
            reasons += self.watch.check_first_rounds(self.door)
            reasons += check_estimate(self.door, self.watch, total, rounds, self._scale)
        return reasons

    def _phases(self) -> np.ndarray:
        row = np.zeros(1, PHASES_DTYPE)
        row["rank"] = self.door.rank
        for phase in PHASES:
            row[phase] = self.clock.seconds[phase]
        return row
