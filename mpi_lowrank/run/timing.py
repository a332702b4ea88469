"""Whether a case's seconds are to be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpi_lowrank.comm import facts, parcels
from mpi_lowrank.machine.clock import Clock
from mpi_lowrank.machine.disturbance import SUMMED, Disturbance, disturbances
from mpi_lowrank.rounds.state import State
from mpi_lowrank.run.loop import Observer, Verdict

if TYPE_CHECKING:
    from mpi4py import MPI


class Timing(Observer):
    """Notes what disturbs a case, from the moment it is made. `ranks`: the facts of every rank."""

    def __init__(self, clock: Clock, comm: MPI.Intracomm, ranks: list[dict], notes: State):
        self._clock, self._comm, self._ranks = clock, comm, ranks
        self._disturbance = Disturbance(notes.of_rank("disturbance", len(SUMMED)))

    def put_away(self) -> None:
        self._disturbance.note()

    def case_ended(self, verdict: Verdict) -> None:
        seen = parcels.from_all(self._comm, self._disturbance.seen(self._clock))
        verdict.timing += facts.timing_problems(self._ranks) or disturbances(seen)
