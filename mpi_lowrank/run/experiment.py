"""From configuration to cases to runs to record."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from mpi_lowrank.comm import facts, failures, parcels, world
from mpi_lowrank.comm.agreement import Agreement
from mpi_lowrank.comm.distribute import distribute
from mpi_lowrank.comm.mpi import MpiTransport
from mpi_lowrank.compressors.base import Operator
from mpi_lowrank.config import Case, Experiment
from mpi_lowrank.datasets import Dataset, assign, load
from mpi_lowrank.datasets.local import LocalShards
from mpi_lowrank.door import Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.machine import launch, memory, output
from mpi_lowrank.machine.disturbance import Disturbance, disturbances
from mpi_lowrank.machine.terminal import terminal
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Constants
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Block
from mpi_lowrank.record.writer import RecordWriter
from mpi_lowrank.run import footprint, provenance
from mpi_lowrank.run.case_run import CaseRun, Setup, described
from mpi_lowrank.run.components import dense_beside, initial, make_compressor
from mpi_lowrank.run.interruption import Interruption, StopAgreed
from mpi_lowrank.run.progress import Progress
from mpi_lowrank.run.validity import check_gradient
from mpi_lowrank.text.spelling import spell

if TYPE_CHECKING:
    from mpi4py import MPI

Outcome = Literal["finished", "failed", "interrupted"]


def run(
    experiment: Experiment,
    comm: MPI.Intracomm,
    out: Path,
    overwrite: bool = False,
    interruption: Interruption | None = None,
) -> Outcome:
    """Run every case on all ranks of `comm` and write the record `out` on rank 0.

    "failed" if a case raised: the others ran. Raises AgreedError, on every rank, for a mistake in
    the configuration, the data, the environment or `out`.
    """
    threads = world.agree(comm, launch.blas_threads)
    with threadpool_limits(threads, user_api="blas"), np.errstate(all="ignore"):
        return _Run(experiment, comm, out, overwrite, interruption).all_cases()


LONGEST_TRACEBACK = 20_000
"""Characters: an attribute of HDF5 holds 64 KB."""


class _Run:
    """An experiment on this rank."""

    def __init__(
        self,
        experiment: Experiment,
        comm: MPI.Intracomm,
        out: Path,
        overwrite: bool,
        interruption: Interruption | None,
    ):
        self.experiment, self.interruption = experiment, interruption or Interruption()
        self.votes = comm.Dup()
        self._open_lines()
        self.root = comm.rank == 0
        screen = terminal() if self.root else None
        self.progress = Progress(len(experiment.cases), screen, silent=not self.root)
        self._datasets: dict[str, Dataset] = {}
        self._setup: tuple[object, Setup] | None = None
        self.facts = parcels.from_all(comm, facts.local_facts())
        world.agree(comm, self._validate)
        if interruption:
            interruption.install()
        self.writer = world.agree(comm, lambda: self._open(out, overwrite))

    def _open_lines(self) -> None:
        """Take communicators on which nothing is under way: a failed case may have left calls."""
        self.comm, self.counted = self.votes.Dup(), self.votes.Dup()
        self.counted.Set_name("mpi-lowrank door")  # for profilers: all that the ledgers count

    def all_cases(self) -> Outcome:
        """Run the cases in order, all of them or until interrupted; the record keeps what is."""
        outcome: Outcome = "interrupted"
        try:
            outcome = self._outcome()
        except BaseException:
            self._close_alone()
            raise
        finished = outcome != "interrupted"
        world.agree(self.comm, lambda: self.writer.close(finished=finished) if self.root else None)
        return outcome

    def _outcome(self) -> Outcome:
        outcome: Outcome = "finished"
        for number, case in enumerate(self.experiment.cases):
            status = self._case(number, case)
            if status == "interrupted":
                return status
            outcome = "failed" if status == "failed" else outcome
        return outcome

    def _close_alone(self) -> None:
        """Keep what there is; the others may be gone, and why is what the user is to read last."""
        try:
            if self.root:
                self.writer.close(finished=False)
        except UserError as error:
            world.report(error)

    def _validate(self) -> None:
        """Make every component of every case once, on rank 0, before anything runs."""
        for case in self.experiment.cases:
            try:
                self._placement(case)
                if self.root:
                    self._validate_components(case)
            except UserError as error:
                source = self.experiment.source
                raise UserError(f"{source}: {case.label}: {error}") from error
            except Exception:  # a plug-in's bug: the case fails in its turn, the others run
                continue

    def _validate_components(self, case: Case) -> None:
        key = "problem."
        try:
            dataset = self._dataset(case)
            problem = problems[case.problem.name]
            blocks = problem.model(dataset, **case.problem.arguments())
            key = ""
            self._validate_memory(case, blocks, dataset)
            key = "compressor."
            compressor = self._validate_compressor(case, blocks)
            key = "method."
            self._validate_method(case, blocks, compressor)
        except OptionError as error:
            raise OptionError(key + error.option, error.value, error.allowed) from error

    def _validate_memory(self, case, blocks: tuple[Block, ...], dataset: Dataset | None) -> None:
        placement, itemsize = self._placement(case), np.dtype(case.dtype).itemsize
        local, total, shapes = placement.local, placement.total, [shape for _, shape in blocks]
        shards = assign(dataset.labels, case.data, total, case.seed)[0] if dataset else []
        longest = max(map(len, shards), default=0)
        problem, options = problems[case.problem.name], case.problem.arguments()
        needed = footprint.rows(shapes, local, total, itemsize)
        needed += problem.footprint(blocks, local, longest, itemsize, **options)
        what = f"{total} workers on {placement.ranks} ranks and a model of "
        what += " + ".join(f"{block.name} {spell(block.shape)}" for block in blocks)
        footprint.check(needed, memory.share(self.facts), what)

    def _validate_compressor(self, case: Case, blocks: tuple[Block, ...]) -> Operator:
        local, total = self._placement(case).local, self._placement(case).total
        choices = case.compressor, dense_beside(case.compressor)
        made = [make_compressor(choice, case.dtype, blocks, total)[0] for choice in choices]
        needed = sum(footprint.messages(operator, local, total) for operator in made)
        footprint.check(needed, memory.share(self.facts), f"messages of {total} workers")
        return made[0]

    def _placement(self, case: Case) -> Placement:
        return Placement(case.workers or self.comm.size, self.comm.size, self.comm.rank)

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
        """Carry out a case: its status."""
        status = error = None
        try:
            status = self._carry_out(number, case)
        except StopAgreed:
            status = "interrupted"
        except KeyboardInterrupt:  # the others may be gone: keep what this rank has
            self._end_case(case, {"status": "interrupted"})
            raise
        except Exception as caught:
            error = caught
            # Now: where the others do not fail as well, the job ends.
            self._record_failure(case, failures.Failure.of(self.comm.rank, error))
        failure = failures.conclude(self.votes, error)
        if failure is None:
            return status
        self._record_failure(case, failure)
        if self.root:
            told = f"{failure.reason} (rank {failure.rank}; its traceback is in the record)"
            output.complain("error", f"{case.label} failed: {told}")
        self._open_lines()
        return "failed"

    def _record_failure(self, case: Case, failure: failures.Failure) -> None:
        verdict = {
            "status": "failed",
            "valid": False,
            "reasons": [failure.reason],
            "traceback": failure.traceback[-LONGEST_TRACEBACK:],
        }
        self._end_case(case, verdict)

    def _end_case(self, case: Case, verdict: dict) -> None:
        if self.root:
            described_so_far = described(case, case.workers or self.comm.size)
            self.writer.end_case(case.label, described_so_far, verdict)

    def _carry_out(self, number: int, case: Case) -> str:
        door = Door(MpiTransport(self.counted))
        setup = self._prepare(case, door)
        run = CaseRun(case, setup, door, self.comm, self.writer, self.interruption)
        disturbance = Disturbance()
        with self.progress.case(number, case.label, case.rounds):
            status = run.rounds(self.progress)
        seen = parcels.from_all(self.comm, disturbance.seen(run.clock))
        run.finish(status, facts.timing_problems(self.facts) or disturbances(seen))
        return status

    def _prepare(self, case: Case, door: Door) -> Setup:
        key = case.workers, case.data, case.problem, case.dtype, case.seed
        if self._setup is None or self._setup[0] != key:
            self._setup = key, self._make_setup(case, door)
        return self._setup[1]

    def _make_setup(self, case: Case, door: Door) -> Setup:
        placement = self._placement(case)
        shards = self._shards(case, placement, door)
        dtype = np.dtype(case.dtype)
        options = case.problem.arguments()
        problem = failures.together(
            self.comm, lambda: problems[case.problem.name](shards, dtype, **options)
        )

        agreement, calls = Agreement(door, self.interruption.wished), itertools.count()

        def mean(rows: np.ndarray) -> np.ndarray:
            call = next(calls)
            if agreement.due(call) and agreement.reach(call):
                raise StopAgreed
            total = np.zeros(rows.shape[1:])
            door.ordered_sum(rows, total, "setup")
            return total / placement.total

        smoothness = problem.smoothness(mean)
        L_i = np.zeros(placement.total)
        mine = np.ascontiguousarray(smoothness.L_i, np.float64)
        door.allgather(mine, L_i, placement.counts, "setup")
        constants = Constants(smoothness.L, L_i)
        reasons = check_gradient(door, problem, initial(case, problem), placement.local)
        return Setup(placement, shards, problem, constants, reasons)

    def _shards(self, case: Case, placement: Placement, door: Door) -> LocalShards:
        if problems[case.problem.name].default_data is None:
            return LocalShards(placement.workers, placement.total, case.seed, workers=[])
        dataset, rows = failures.together(self.comm, lambda: self._assigned(case, placement))
        return distribute(door, placement, dataset, rows, case.seed)

    def _assigned(self, case: Case, placement: Placement) -> tuple[Dataset | None, list | None]:
        """The data set and each worker's rows, on rank 0."""
        if not self.root:
            return None, None
        dataset = self._dataset(case)
        return dataset, assign(dataset.labels, case.data, placement.total, case.seed)
