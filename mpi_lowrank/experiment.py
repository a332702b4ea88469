"""From configuration to cases to runs to record: the only loop over rounds."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mpi4py import MPI
from threadpoolctl import threadpool_limits

from mpi_lowrank import provenance
from mpi_lowrank.choice import Choice
from mpi_lowrank.clock import Clock
from mpi_lowrank.comm import facts, world
from mpi_lowrank.comm.distribute import assign, distribute
from mpi_lowrank.comm.door import Door
from mpi_lowrank.comm.exchange import Exchange
from mpi_lowrank.comm.ledger import Ledger
from mpi_lowrank.comm.placement import Placement
from mpi_lowrank.components import dense_beside, initial, make_compressor
from mpi_lowrank.compressors.base import Compressor, Operator
from mpi_lowrank.config import Case, Experiment, over_L
from mpi_lowrank.datasets import Dataset, load
from mpi_lowrank.datasets.local import LocalShards
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.evaluation import Evaluator, Measures
from mpi_lowrank.interruption import Interruption
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Constants, Method, State
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Block, Problem
from mpi_lowrank.progress import Progress, terminal
from mpi_lowrank.randomness import SHARED, Purpose, Stream
from mpi_lowrank.record.schema import PHASES, PHASES_DTYPE
from mpi_lowrank.record.writer import RecordWriter
from mpi_lowrank.validity import (
    FirstRounds,
    check_bytes,
    check_estimate,
    check_gradient,
    check_replicas,
    clock_problems,
)

HOPELESS = 1e12
"""A case has diverged when its loss exceeds its first one by this factor."""


def run(
    experiment: Experiment,
    comm: MPI.Intracomm,
    out: Path,
    overwrite: bool = False,
    interruption: Interruption | None = None,
) -> bool:
    """Run every case on all ranks of `comm` and write the record `out` on rank 0.

    False if it was interrupted. Raises AgreedError, on every rank, for a mistake in the
    configuration, the data, the environment or `out`.
    """
    threads = world.agree(comm, _blas_threads)
    with threadpool_limits(threads, user_api="blas"), np.errstate(all="ignore"):
        return _Run(experiment, comm, out, overwrite, interruption or Interruption()).all_cases()


def _blas_threads() -> int:
    given = os.environ.get("OMP_NUM_THREADS") or "1"
    if not given.isdecimal() or int(given) < 1:
        raise UserError(
            f"OMP_NUM_THREADS = {given}: allowed is an integer from 1, BLAS threads a rank"
        )
    return int(given)


@dataclass(frozen=True)
class _Setup:
    """What cases of the same workers, data and problem share."""

    placement: Placement
    shards: LocalShards
    problem: Problem
    constants: Constants
    reasons: list[str]


class _Run:
    """An experiment on this rank."""

    def __init__(
        self,
        experiment: Experiment,
        comm: MPI.Intracomm,
        out: Path,
        overwrite: bool,
        interruption: Interruption,
    ):
        self.experiment, self.comm, self.interruption = experiment, comm, interruption
        self.counted = comm.Dup()
        self.counted.Set_name("mpi-lowrank door")  # for profilers: all that the ledgers count
        self.root = comm.rank == 0
        self.screen = terminal() if self.root else None
        self._datasets: dict[str, Dataset] = {}
        self._setup: tuple[object, _Setup] | None = None
        world.agree(comm, self._validate)
        self.facts = facts.gather_facts(comm)
        self.writer = world.agree(comm, lambda: self._open(out, overwrite))

    def all_cases(self) -> bool:
        """Run the cases in order, all of them or until interrupted; the record keeps what is."""
        finished = False
        try:
            cases = enumerate(self.experiment.cases)
            finished = all(self._case(number, case) != "interrupted" for number, case in cases)
        finally:
            if self.root:
                self.writer.close(finished=finished)
        return finished

    def _validate(self) -> None:
        """Make every component of every case once, on rank 0, before anything runs."""
        for case in self.experiment.cases:
            try:
                Placement(case.workers or self.comm.size, self.comm.size, self.comm.rank)
                if self.root:
                    self._validate_components(case)
            except UserError as error:
                source = self.experiment.source
                raise UserError(f"{source}: {case.label}: {error}") from error

    def _validate_components(self, case: Case) -> None:
        key = "problem."
        try:
            dataset = self._dataset(case)
            problem = problems[case.problem.name]
            blocks = problem.model(dataset, **case.problem.arguments())
            key = "compressor."
            workers = case.workers or self.comm.size
            compressor, _ = make_compressor(case.compressor, case.dtype, blocks, workers)
            key = "method."
            self._validate_method(case, blocks, compressor)
            key = ""
            if dataset is not None:
                assign(dataset, case.data, case.workers or self.comm.size, case.seed)
        except OptionError as error:
            raise OptionError(key + error.option, error.value, error.allowed) from error

    def _validate_method(self, case: Case, blocks: tuple[Block, ...], compressor: Operator) -> None:
        method, options = methods[case.method.name], case.method.arguments()
        method.check(**options)
        if case.stepsize is None:
            anything = Constants(1.0, np.ones(case.workers or self.comm.size))
            method.theory_stepsize(anything, compressor, **options)
        downlink = options.get("downlink")
        if downlink is None:
            return
        if make_compressor(downlink, case.dtype, blocks, 1)[0].shared:
            allowed = "one that has messages: a server broadcasts, nothing is reduced"
            raise OptionError("downlink", str(downlink), allowed)

    def _dataset(self, case: Case) -> Dataset | None:
        name = case.data.name or problems[case.problem.name].default_data
        if name is None:
            return None
        if name not in self._datasets:
            self._datasets[name] = load(name)
        return self._datasets[name]

    def _open(self, out: Path, overwrite: bool) -> RecordWriter | None:
        if not self.root:
            return None
        experiment, timing = self.experiment, facts.timing_problems(self.facts)
        datasets = sorted(self._datasets.items())
        attributes = {
            "name": experiment.name,
            "config": experiment.text,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "baseline": experiment.baseline,
            "seed": sorted({case.seed for case in experiment.cases})[0],
            "data": [name for name, _ in datasets],
            "data_sha256": [dataset.sha256 for _, dataset in datasets],
            "timing_valid": not timing,
            "timing_reasons": timing,
        }
        machine = facts.attributes(self.comm, self.facts)
        return RecordWriter(out, attributes | machine | provenance.attributes(), overwrite)

    def _case(self, number: int, case: Case) -> str:
        door = Door(self.counted, Ledger(self.comm.rank))
        run = _CaseRun(self, case, self._prepare(case, door), door)
        began = time.time(), time.perf_counter()
        label = f"[{number + 1}/{len(self.experiment.cases)}] {case.label}"
        try:
            with Progress(label, case.rounds, self.screen, silent=not self.root) as progress:
                status = run.rounds(progress)
        except BaseException:
            run.interrupt()
            raise
        wall, monotonic = time.time() - began[0], time.perf_counter() - began[1]
        run.finish(status, clock_problems(wall, monotonic))
        return status

    def _prepare(self, case: Case, door: Door) -> _Setup:
        key = case.workers, case.data, case.problem, case.dtype, case.seed
        if self._setup is None or self._setup[0] != key:
            self._setup = key, self._make_setup(case, door)
        return self._setup[1]

    def _make_setup(self, case: Case, door: Door) -> _Setup:
        placement = Placement(case.workers or self.comm.size, self.comm.size, self.comm.rank)
        shards = self._shards(case, placement, door)
        dtype = np.dtype(case.dtype)
        problem = problems[case.problem.name](shards, dtype, **case.problem.arguments())

        def mean(rows: np.ndarray) -> np.ndarray:
            total = np.zeros(rows.shape[1:])
            door.ordered_sum(rows, total, "setup")
            return total / placement.total

        smoothness = problem.smoothness(mean)
        L_i = np.zeros(placement.total)
        door.allgather(smoothness.L_i, L_i, placement.counts, "setup")
        constants = Constants(smoothness.L, L_i)
        reasons = check_gradient(door, problem, initial(case, problem), placement.local)
        return _Setup(placement, shards, problem, constants, reasons)

    def _shards(self, case: Case, placement: Placement, door: Door) -> LocalShards:
        if problems[case.problem.name].default_data is None:
            return LocalShards(placement.workers, placement.total, case.seed, workers=[])
        dataset = self._dataset(case) if self.root else None
        rows = assign(dataset, case.data, placement.total, case.seed) if self.root else None
        return distribute(door, placement, dataset, rows, case.seed)


class _CaseRun:
    """One case on this rank, from x^0 to its last row."""

    def __init__(self, run: _Run, case: Case, setup: _Setup, door: Door):
        self.case, self.setup, self.writer, self.root = case, setup, run.writer, run.root
        self.facts, self.comm, self.door, self.ledger = run.facts, run.comm, door, door.ledger
        placement, problem = setup.placement, setup.problem
        self.clock = Clock()
        dtype = np.dtype(case.dtype)
        self.exchange = Exchange(
            door,
            placement,
            self.clock,
            problem.d,
            dtype,
            case.topology,
            case.reduction,
            case.seed,
        )
        self.compressor, self.blocks = self._prepared(case.compressor)
        self.method = self._make_method()
        self.first_rounds = FirstRounds(self.method, self.exchange)
        shards = setup.shards
        rows = shards.train_rows, shards.test_rows
        self.evaluate = Evaluator(problem, self.door, placement.local, placement.total, rows)
        self._interruption = run.interruption
        # Seconds, whether any rank was asked to stop, whether one had what cannot be sent.
        self._slowest = np.zeros(3)
        self._scale = 0.0

    def _prepared(self, choice: Choice) -> tuple[Operator, list[str]]:
        problem, workers = self.setup.problem, self.setup.placement.total
        compressor, blocks = make_compressor(choice, self.case.dtype, problem.blocks, workers)
        self.exchange.prepare(compressor)
        return compressor, blocks

    def _make_downlink(self, choice: Choice) -> Compressor:
        compressor, _ = make_compressor(choice, self.case.dtype, self.setup.problem.blocks, 1)
        self.exchange.prepare_broadcast(compressor)
        return compressor

    def _make_method(self) -> Method:
        case, setup = self.case, self.setup
        problem, placement = setup.problem, setup.placement
        gradients = np.zeros((placement.local, problem.d), case.dtype)

        def gradient(x: np.ndarray) -> np.ndarray:
            self.clock.lap("update")
            problem.gradients(x, gradients)
            self.clock.lap("gradient")
            return gradients

        state = State(
            gradients=gradient,
            exchange=self.exchange,
            compressor=self.compressor,
            dense=self._prepared(dense_beside(case.compressor))[0],
            x0=initial(case, problem),
            stepsize=self._stepsize(),
            numbers=placement.workers,
            total=placement.total,
            shared=Stream(case.seed, Purpose.PARTICIPATE, SHARED),
            make=self._make_downlink,
        )
        return methods[case.method.name](state, **case.method.arguments())

    def _stepsize(self) -> float:
        case, constants = self.case, self.setup.constants
        self.multiple = None
        if isinstance(case.stepsize, str):
            return over_L(case.stepsize) / constants.L
        if case.stepsize is not None:
            return case.stepsize
        self.multiple = case.multiple or 1.0
        method, options = methods[case.method.name], case.method.arguments()
        return self.multiple * method.theory_stepsize(constants, self.compressor, **options)

    def rounds(self, progress: Progress) -> str:
        """Run until a target, the last round or divergence; the case's status."""
        if self.root:
            self.writer.start_case(self.case.label, self._attributes())
        first = measures = self._row(0)
        for t in range(self.case.rounds):
            if self._slowest[1]:
                return "interrupted"
            if self._stops(measures):
                return "finished"
            self._round(t)
            done = t + 1
            diverged = not np.isfinite(self.method.x @ self.method.x)
            if diverged or done % self.case.evaluate_every == 0 or done == self.case.rounds:
                measures = self._row(done)
                progress.show(done, measures)
                diverged = diverged or self._slowest[2] or not measures.finite
                if diverged or measures.loss > HOPELESS * (1 + first.loss):
                    return "diverged"
        return "finished"

    def _stops(self, measures: Measures) -> bool:
        return any(measures.reaches(metric, v) for metric, v in self.case.stop.items())

    def _round(self, t: int) -> None:
        self.door.round = self.exchange.round = t
        with self.first_rounds.watching(t):
            self.clock.resume()
            self.method.round(t)
            self.clock.pause()

    def _row(self, done: int) -> Measures:
        """Evaluate and record the model after `done` rounds, outside the method's clock."""
        with self.clock.evaluation():
            measures = self.evaluate(self.method.x)
            self._scale = max(self._scale, measures.worker_norm)
            wished, unsendable = self._interruption.wished, self.exchange.unsendable
            mine = np.array([self.clock.total(), wished, unsendable])
            self.door.maximum(mine, self._slowest, "evaluation")
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
            "published_bits": self.compressor.published_bits * done,
        }

    def _attributes(self) -> dict:
        case, constants = self.case, self.setup.constants
        return {
            "method": str(case.method),
            "compressor": str(case.compressor),
            "problem": str(case.problem),
            "data": case.data.name or self.setup.problem.default_data,
            "order": case.data.order,
            "test_fraction": case.data.test_fraction,
            "workers": self.setup.placement.total,
            "topology": case.topology,
            "dtype": case.dtype,
            "seed": case.seed,
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

    def finish(self, status: str, jumps: list[str]) -> None:
        """Check the case, and let rank 0 write its verdict, its ledger and its phases."""
        reasons = self.setup.reasons + self._check(status)
        ledger = self._gather(self.ledger.rows())
        phases = self._gather(self._phases())
        timing = facts.timing_problems(self.facts) + jumps
        if self.root:
            verdict = {
                "status": status,
                "valid": not reasons,
                "reasons": reasons,
                "timing_valid": not timing,
                "timing_reasons": timing,
            }
            self.writer.finish_case(verdict, ledger, phases)

    def interrupt(self) -> None:
        """Keep what this rank alone knows: the others may be gone."""
        if self.root:
            self.writer.finish_case({"status": "interrupted"}, self.ledger.rows(), self._phases())

    def _check(self, status: str) -> list[str]:
        total, rounds = self.setup.placement.total, self.exchange.round + 1
        reasons = check_bytes(self.door, self.exchange) + check_replicas(self.door, self.method.x)
        if status != "diverged":
            reasons += self.first_rounds.check(self.door, self._scale)
            reasons += check_estimate(self.door, self.method, total, rounds, self._scale)
        return reasons

    def _phases(self) -> np.ndarray:
        row = np.zeros(1, PHASES_DTYPE)
        row["rank"] = self.door.rank
        for phase in PHASES:
            row[phase] = self.clock.seconds[phase]
        return row

    def _gather(self, rows: np.ndarray) -> np.ndarray:
        """Every rank's rows on rank 0, after the last counted call."""
        comm = self.comm
        lengths = np.zeros(comm.size, np.int64)
        comm.Allgather(np.array([rows.nbytes], np.int64), lengths)
        whole = np.zeros(lengths.sum() if self.root else 0, np.uint8)
        comm.Gatherv(rows.copy().view(np.uint8), [whole, lengths] if self.root else None)
        return whole.view(rows.dtype)
