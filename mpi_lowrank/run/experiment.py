"""From configuration to cases to runs to record."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from threadpoolctl import threadpool_limits

from mpi_lowrank.comm import facts, failures, parcels, world
from mpi_lowrank.comm.agreement import Agreement
from mpi_lowrank.comm.mpi import MpiTransport
from mpi_lowrank.config import Case, Experiment
from mpi_lowrank.datasets import Dataset, load
from mpi_lowrank.door import Door
from mpi_lowrank.errors import UserError
from mpi_lowrank.machine import launch, memory, output
from mpi_lowrank.machine.terminal import terminal
from mpi_lowrank.record.writer import RecordWriter
from mpi_lowrank.run import provenance
from mpi_lowrank.run.assembly import (
    Assembly,
    Ground,
    Together,
    assemble,
    data_name,
    ground,
    place,
)
from mpi_lowrank.run.check import check
from mpi_lowrank.run.interruption import Interruption, StopAgreed
from mpi_lowrank.run.loop import Observer, Status, run_rounds
from mpi_lowrank.run.progress import Progress
from mpi_lowrank.run.recorder import Recorder, described
from mpi_lowrank.run.stopping import Divergence, Schedule, Signals, Targets
from mpi_lowrank.run.timing import Timing
from mpi_lowrank.run.watch import Consistency, Estimate, FirstRounds, Replicas, Whole

if TYPE_CHECKING:
    from mpi4py import MPI

Outcome = Literal["finished", "invalid", "failed", "interrupted"]


def run(
    experiment: Experiment,
    comm: MPI.Intracomm,
    out: Path,
    overwrite: bool = False,
    interruption: Interruption | None = None,
) -> Outcome:
    """Run every case on all ranks of `comm` and write the record `out` on rank 0.

    "failed" if a case raised: the others ran. "invalid" if the results of one are not valid, which
    is told at the end. Raises AgreedError, on every rank, for a mistake in the configuration, the
    data, the environment or `out`.
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
        self._ground: tuple[object, Ground] | None = None
        self._invalid: dict[str, list[str]] = {}
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
        writer = self.writer
        world.agree(self.comm, lambda: writer.close(finished=finished) if writer else None)
        for label, reasons in self._invalid.items() if self.root else ():
            output.complain("warning", f"{label} is not valid: {'; '.join(reasons)}")
        return "invalid" if self._invalid and outcome == "finished" else outcome

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
            if self.writer:
                self.writer.close(finished=False)
        except UserError as error:
            world.report(error)

    def _validate(self) -> None:
        """Check every case before any of them runs: its placement on every rank, the rest on 0."""
        for case in self.experiment.cases:
            try:
                placement = place(case, self.comm.size, self.comm.rank)
                if self.root:
                    check(case, placement, self._data(case), memory.share(self.facts))
            except UserError as error:
                source = self.experiment.source
                raise UserError(f"{source}: {case.label}: {error}") from error
            except Exception:  # a plug-in's bug: the case fails in its turn, the others run
                continue

    def _data(self, case: Case) -> Dataset | None:
        """The case's data set; the same is read once."""
        name = data_name(case)
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

    def _case(self, number: int, case: Case) -> Status | Literal["failed"]:
        """Carry out a case: its status."""
        status: Status | None = None
        error: Exception | None = None
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
            return cast(Status, status)  # without an error it has one
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
        if self.writer:
            described_so_far = described(case, case.workers or self.comm.size)
            self.writer.end_case(case.label, described_so_far, verdict)

    def _carry_out(self, number: int, case: Case) -> Status:
        door = Door(MpiTransport(self.counted))
        made = assemble(case, self._ground_of(case, door), door, self._together())
        with self.progress.case(number, case.label, case.rounds) as progress:
            verdict = run_rounds(made, self._observers(made, progress))
        if verdict.reasons:
            self._invalid[case.label] = verdict.reasons
        return verdict.status

    def _observers(self, made: Assembly, progress: Observer) -> list[Observer]:
        case, method, exchange, door = made.case, made.method, made.exchange, made.door
        notes = made.notes
        timing = Timing(made.clock, self.comm, self.facts, notes)
        recorder = Recorder(made, self.comm, self.writer)
        agreement = Agreement(door, self.interruption.wished)
        replicas = Replicas(method, door, notes)
        return [
            timing,
            Consistency(made),
            Whole(made),
            FirstRounds(method, exchange, notes),
            Estimate(method, door, made.ground.placement.total, notes),
            replicas,
            Divergence(replicas, notes),
            Targets(case),
            Schedule(case),
            Signals(agreement, recorder.flush),
            recorder,
            progress,
        ]

    def _ground_of(self, case: Case, door: Door) -> Ground:
        key = case.workers, case.data, case.problem, case.dtype, case.seed
        if self._ground is None or self._ground[0] != key:
            wished = self.interruption.wished
            self._ground = key, ground(case, door, self._together(), self._data, wished)
        return self._ground[1]

    def _together(self) -> Together:
        return partial(failures.together, self.comm)
