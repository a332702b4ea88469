"""From configuration to cases to runs to record."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from threadpoolctl import threadpool_limits

from mpi_lowrank.comm import facts, failures, parcels, world
from mpi_lowrank.comm.agreement import Agreement
from mpi_lowrank.comm.mpi import MpiTransport, NappingTransport
from mpi_lowrank.config import Case, Experiment
from mpi_lowrank.config.tune import units
from mpi_lowrank.door import Door, Transport
from mpi_lowrank.door.network import Network
from mpi_lowrank.door.throttle import Throttled
from mpi_lowrank.errors import UserError
from mpi_lowrank.machine import launch, output
from mpi_lowrank.machine.terminal import terminal
from mpi_lowrank.run.assembly import (
    Assembly,
    Ground,
    Together,
    assemble,
    ground,
)
from mpi_lowrank.run.checkpoint import Checkpoints, check_fits, unpack
from mpi_lowrank.run.grounds import Grounds
from mpi_lowrank.run.guarantees import Guarantees
from mpi_lowrank.run.inputs import Inputs
from mpi_lowrank.run.interruption import Interruption, StopAgreed
from mpi_lowrank.run.loop import Observer, Status, run_rounds
from mpi_lowrank.run.progress import Progress
from mpi_lowrank.run.recorder import Recorder, described
from mpi_lowrank.run.recording import Recording
from mpi_lowrank.run.resume import format_plan
from mpi_lowrank.run.stopping import Divergence, Schedule, Signals, Targets, TimeLimit
from mpi_lowrank.run.timing import Timing
from mpi_lowrank.run.tuning import Outcome, Outspent, Tuning, outcome
from mpi_lowrank.run.watch import Consistency, Estimate, FirstRounds, Replicas, Whole

if TYPE_CHECKING:
    from mpi4py import MPI

CHECKPOINT_EVERY = 60.0
"""Seconds between two checkpoints."""

Ended = Literal["finished", "invalid", "failed", "interrupted"]


def run(
    experiment: Experiment,
    comm: MPI.Intracomm,
    out: Path,
    overwrite: bool = False,
    interruption: Interruption | None = None,
    checkpoint_every: float = CHECKPOINT_EVERY,
    quiet: bool = False,
) -> Ended:
    """Run the chosen cases on all ranks of `comm` and write the record `out` on rank 0.

    Where `out` is a record of the same configuration, what is finished there stays, and what was
    interrupted goes on from its checkpoint. `checkpoint_every`: seconds between two checkpoints (0:
    only at a signal). `quiet`: without progress. Returns "failed" if a case raised, though the
    others ran, and "invalid" if the results of one are not valid, of which the end gives warning.
    Raises AgreedError, on every rank, for a mistake in the configuration, the data, the environment
    or `out`.
    """
    threads = world.agree(comm, launch.blas_threads)
    with threadpool_limits(threads, user_api="blas"), np.errstate(all="ignore"):
        run = _Run(experiment, comm, out, overwrite, interruption, checkpoint_every, quiet)
        ended = run.all_cases()
        if ended in ("finished", "invalid"):  # a failed case may have left calls pending
            run.close_lines()
        return ended


def dry_run(experiment: Experiment, comm: MPI.Intracomm, out: Path, overwrite: bool) -> str:
    """A line per chosen case: what `run` would do with it. Raises AgreedError as `run` does."""
    planned = _Run(experiment, comm, out, overwrite, None, 0.0)
    planned.recording.close(finished=False)
    return format_plan(planned.recording.steps, experiment.cases)


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
        checkpoint_every: float,
        quiet: bool = False,
    ):
        self.experiment, self.interruption = experiment, interruption or Interruption()
        self.chosen, self.checkpoint_every = experiment.chosen, checkpoint_every
        self.votes = comm.Dup()
        self._open_lines()
        self.root = comm.rank == 0
        screen = terminal() if self.root else None
        parts = units(experiment.cases, range(len(experiment.cases)))
        self.part_of = {number: part for part, numbers in enumerate(parts) for number in numbers}
        self.progress = Progress(len(parts), screen, silent=quiet or not self.root)
        self.tuning = Tuning({n: experiment.cases[n] for n in self.chosen}, self._ended)
        self._grounds = Grounds()
        self._invalid: dict[str, list[str]] = {}
        self.facts = parcels.from_all(comm, facts.local_facts())
        self.inputs = Inputs(experiment, comm, self.facts)
        self.inputs.read()
        world.agree(comm, self.inputs.check)
        if interruption:
            interruption.install()
        self.recording = Recording(comm, experiment, out, self.inputs.keys, overwrite)

    def _open_lines(self) -> None:
        """Make communicators without pending calls: a failed case may have left some on the old."""
        self.comm, self.counted = self.votes.Dup(), self.votes.Dup()
        self.counted.Set_name("mpi-lowrank door")  # for profilers: all that the ledgers count

    def close_lines(self) -> None:
        """Free the communicators, of which MPI has two thousand or so for all runs of a process."""
        for lines in (self.counted, self.comm, self.votes):
            lines.Free()

    def all_cases(self) -> Ended:
        """Run the cases in order, all of them or until interrupted; keep what there is then."""
        ended: Ended = "interrupted"
        try:
            ended = self._run_cases()
        except BaseException:
            self._close_alone()
            raise
        finished = ended != "interrupted"
        world.agree(self.comm, lambda: self.recording.close(finished))
        for label, reasons in self._invalid.items() if self.root else ():
            output.complain("warning", f"{label} is not valid: {'; '.join(reasons)}")
        return "invalid" if self._invalid and ended == "finished" else ended

    def _run_cases(self) -> Ended:
        ended: Ended = "finished"
        for number in self.tuning.numbers():
            case, step = self.experiment.cases[number], self.recording.steps[number]
            if step.do == "stay" and not self.tuning.again:
                self._note_reasons(case, step.reasons)
                continue
            self.recording.open(self.inputs.attributes)
            if self.tuning.again:
                self.recording.drop(number)
            status = self._case(number)
            if status == "interrupted":
                return status
            ended = "failed" if status == "failed" else ended
        return ended

    def _ended(self, number: int) -> Outcome:
        """Collective: how a tuned case ended."""
        case = self.experiment.cases[number]
        assert case.tune is not None
        tune, read = case.tune, lambda: self.recording.read(case.label)
        told = world.agree(self.comm, lambda: outcome(read(), tune) if self.root else None)
        return Outcome(*parcels.from_root(self.comm, told))

    def _close_alone(self) -> None:
        """Close without the others, who may be gone; the user still reads the first error last."""
        try:
            self.recording.close(finished=False)
        except UserError as error:
            world.report(error)

    def _case(self, number: int) -> Status | Literal["failed"]:
        """Carry out a case and return its status."""
        case = self.experiment.cases[number]
        status: Status | None = None
        error: Exception | None = None
        try:
            status = self._carry_out(number, case)
        except StopAgreed:
            status = "interrupted"
        except KeyboardInterrupt:  # the others may be gone: keep what this rank has
            self._end_case(number, {"status": "interrupted"})
            raise
        except Exception as caught:
            error = caught
            # Now: where the others do not fail as well, the job ends.
            self._record_failure(number, failures.Failure.of(self.comm.rank, error))
        failure = failures.conclude(self.votes, error)
        if failure is None:
            return cast(Status, status)  # without an error it has one
        self._record_failure(number, failure)
        if self.root:
            told = f"{failure.reason} (rank {failure.rank}; its traceback is in the record)"
            output.complain("error", f"{case.label} failed: {told}")
        self._open_lines()
        return "failed"

    def _record_failure(self, number: int, failure: failures.Failure) -> None:
        verdict = {
            "status": "failed",
            "valid": False,
            "reasons": [failure.reason],
            "traceback": failure.traceback[-LONGEST_TRACEBACK:],
        }
        self._end_case(number, verdict)

    def _end_case(self, number: int, verdict: dict) -> None:
        if writer := self.recording.writer:
            case = self.experiment.cases[number]
            described_so_far = described(case, case.workers or self.comm.size)
            known = described_so_far | self.recording.known(number)
            writer.end_case(case.label, known, verdict)

    def _note_reasons(self, case: Case, reasons: Sequence[str]) -> None:
        if reasons:
            self._invalid[case.label] = list(reasons)

    def _carry_out(self, number: int, case: Case) -> Status:
        door, uncounted = Door(self._lines_of(case)), Door(MpiTransport(self.comm))
        made = assemble(case, self._ground_of(case, door), door, self._together())
        with self.progress.case(self.part_of[number], case.label, case.rounds) as progress:
            step, checkpoint = self.recording.steps[number], self.recording.checkpoint(number)
            known, writer = self.recording.known(number), self.recording.writer
            recorder = Recorder(made, self.comm, writer, known, step)
            observers = self._observers(made, recorder, progress, uncounted)
            if step.do == "go on":
                self._together()(lambda: check_fits(made, checkpoint))
                unpack(made, uncounted, checkpoint)
                recorder.note_calls()
            verdict = run_rounds(made, observers, step.done)
        self._note_reasons(case, verdict.reasons)
        return verdict.status

    def _lines_of(self, case: Case) -> Transport:
        if not case.throttle:
            return MpiTransport(self.counted)
        # Ranks of a throttled run stand for hosts, which have a core of their own.
        kind = NappingTransport if facts.crowded(self.facts) else MpiTransport
        return Throttled(kind(self.counted), Network.read(case.throttle))

    def _observers(
        self, made: Assembly, recorder: Recorder, progress: Observer, uncounted: Door
    ) -> list[Observer]:
        case, method, exchange, door = made.case, made.method, made.exchange, made.door
        notes = made.notes
        timing = Timing(made.clock, self.comm, self.facts, notes)
        agreement = Agreement(door, self.interruption.wished)
        replicas = Replicas(method, door, notes)
        watching: list[Observer] = [
            timing,
            Consistency(made),
            Whole(made),
            FirstRounds(method, exchange, notes),
            Estimate(method, door, made.ground.placement.total, notes, made.repair),
            replicas,
            Divergence(replicas, notes),
            Targets(case),
            Schedule(case),
        ]
        if case.tune:
            watching.append(Outspent(case.tune, self.tuning.limit, exchange, notes))
        if made.theory:
            watching.append(Guarantees(made.theory, notes))
        if case.time_limit is not None:
            watching.append(TimeLimit(case.time_limit, agreement, notes))
        checkpoints = Checkpoints(made, uncounted, recorder, watching, self.checkpoint_every)
        signals = Signals(agreement, recorder.flush, checkpoints.at)
        return [*watching, signals, recorder, progress]

    def _ground_of(self, case: Case, door: Door) -> Ground:
        wished, data = self.interruption.wished, self.inputs.data
        return self._grounds.of(case, lambda: ground(case, door, self._together(), data, wished))

    def _together(self) -> Together:
        return partial(failures.together, self.comm)
