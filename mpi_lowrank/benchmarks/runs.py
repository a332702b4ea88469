"""Runs that a bench repeats: of one case, through all that `mpi-lowrank run` does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from mpi_lowrank import config
from mpi_lowrank.comm import parcels, world
from mpi_lowrank.record import Case, Record
from mpi_lowrank.record.costs import of_rounds
from mpi_lowrank.run import experiment

if TYPE_CHECKING:
    from mpi4py import MPI


@contextmanager
def folder_on_root(comm: MPI.Intracomm) -> Iterator[Path]:
    """Collective: a folder of rank 0's machine for records, gone at the end."""
    with TemporaryDirectory() as made:  # every rank has one, because rank 0 alone uses its own
        yield Path(parcels.from_root(comm, made))


def run_case(comm: MPI.Intracomm, text: str, folder: Path) -> Case | None:
    """Collective: run the configuration's one case; on rank 0 return what was recorded of it."""
    out = folder / "run.h5"
    loaded = world.agree(comm, lambda: config.parse(text, Path("bench.toml"), ()))
    experiment.run(loaded, comm, out, overwrite=True, quiet=True)
    if comm.rank > 0:
        return None
    (case,) = Record(out).cases.values()
    return case


def seconds_in_mpi(case: Case, ranks: int) -> np.ndarray:
    """Seconds of each rank in the calls of all rounds, uplink and downlink."""
    calls = of_rounds(case.ledger)
    return np.bincount(calls["rank"], calls["seconds"], ranks)


def seconds_waited(case: Case, ranks: int) -> np.ndarray:
    """Seconds per round that each rank waited in calls for the last rank to come, (ranks,).

    From the rounds that the ledger has call by call, of calls that all ranks make: such a call ends
    on all of them together, so a rank has waited by how much longer it is there than on the last to
    come.
    """
    calls = of_rounds(case.ledger)
    calls = calls[calls["calls"] == 1]
    seconds = np.array([calls["seconds"][calls["rank"] == rank] for rank in range(ranks)])
    waited: np.ndarray = (seconds - seconds.min(axis=0)).sum(axis=1)
    return waited / len(np.unique(calls["round"]))
