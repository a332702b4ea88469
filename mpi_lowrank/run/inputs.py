"""What a run is given: data sets, read once, and cases, checked and known by their keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mpi_lowrank.comm import alike, reading
from mpi_lowrank.config import Case, Experiment
from mpi_lowrank.config.tune import but_for_the_step
from mpi_lowrank.datasets import Dataset, load
from mpi_lowrank.errors import UserError
from mpi_lowrank.machine import memory
from mpi_lowrank.run import check, provenance
from mpi_lowrank.run.assembly import data_name, place
from mpi_lowrank.run.keys import Key, key

if TYPE_CHECKING:
    from mpi4py import MPI

UNTOLD = ("Python", "mpi4py")
"""What all ranks must have in the same version, though no number depends on it."""


class Inputs:
    """The inputs of an experiment's chosen cases; `ranks`: the facts of every rank."""

    def __init__(self, experiment: Experiment, comm: MPI.Intracomm, ranks: list[dict]):
        self._experiment, self._comm, self._ranks = experiment, comm, ranks
        self._datasets: dict[str, Dataset] = {}

    def read(self) -> None:
        """Collective: read the chosen cases' data sets that several ranks can read at once.

        Raises AgreedError for one that is refused.
        """
        room = memory.share(self._ranks)
        for _, case in self._chosen():
            name = data_name(case)
            if name is None or name in self._datasets:
                continue
            told = f"{self._experiment.source}: {case.label}: "
            piece = reading.read(self._comm, name, room, told)
            if piece is not None:
                self._datasets[name] = piece

    def check(self) -> None:
        """Check every case before the first one runs: its placement on all ranks, the rest on 0.

        Raises UserError for one that cannot run.
        """
        for case in self._distinct():
            try:
                placement = place(case, self._comm.size, self._comm.rank)
                if self._comm.rank == 0:
                    check.check(case, placement, self.data(case), memory.share(self._ranks))
            except UserError as error:
                source = self._experiment.source
                raise UserError(f"{source}: {case.label}: {error}") from error
            except Exception:  # a plug-in's bug: the case fails in its turn, the others run
                continue

    def data(self, case: Case) -> Dataset | None:
        """What this rank has of the case's data set: rank 0 all, or each its piece.

        None if it has nothing of it, or needs none. Each one is read once.
        """
        name = data_name(case)
        if name is None:
            return None
        if name not in self._datasets and self._comm.rank == 0:
            self._datasets[name] = load(name)
        return self._datasets.get(name)

    def keys(self) -> dict[int, Key]:
        """On rank 0: what the numbers of each case depend on."""
        code = {name: what for name, (what, _) in alike.local_code().items() if name not in UNTOLD}
        return {number: self._key(case, code) for number, case in self._chosen()}

    def attributes(self) -> dict:
        """On rank 0: where the record comes from."""
        return provenance.of_run(self._experiment, self._datasets, self._comm, self._ranks)

    def _key(self, case: Case, code: dict[str, str]) -> Key:
        try:
            data = self.data(case)
            return key(case, self._comm.size, data.sha256 if data else None, code)
        except Exception:  # as in `check`
            return {}

    def _distinct(self) -> list[Case]:
        """The chosen cases, one for all tuned steps: nothing that is checked depends on them."""
        found: dict[object, Case] = {}
        for number, case in self._chosen():
            alike = but_for_the_step(case) if case.tune else number
            found.setdefault(alike, case)
        return list(found.values())

    def _chosen(self) -> Iterator[tuple[int, Case]]:
        return ((number, self._experiment.cases[number]) for number in self._experiment.chosen)
