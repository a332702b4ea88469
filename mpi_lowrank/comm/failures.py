"""A case that raises: all ranks fail together and go on to the next case, or the job ends."""

import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeVar, cast

import numpy as np
from mpi4py import MPI

from mpi_lowrank.comm import parcels, world
from mpi_lowrank.errors import in_one_line

Result = TypeVar("Result")

PATIENCE = 5.0
"""Seconds that a rank which failed waits for the others to end the case as well."""

POLL = 0.001


class FailedElsewhere(Exception):
    """Another rank has failed in a step that all ranks carry out, and this one has not."""


@dataclass(frozen=True)
class Failure:
    """What was raised on the lowest rank that failed."""

    rank: int
    reason: str
    traceback: str

    @classmethod
    def of(cls, rank: int, error: BaseException) -> "Failure":
        told = "".join(traceback.format_exception(error))
        return cls(rank, in_one_line(error), told)


def together(comm: MPI.Intracomm, step: Callable[[], Result]) -> Result:
    """Run a step without communication on every rank; if it raises on one, it fails on all.

    A rank without an error of its own raises FailedElsewhere.
    """
    error: Exception | None = None
    result: Result | None = None
    try:
        result = step()
    except Exception as caught:
        error = caught
    failed = np.zeros(1, np.uint8)
    comm.Allreduce(np.array([error is not None], np.uint8), failed, op=MPI.MAX)
    if failed[0]:
        raise error or FailedElsewhere
    return cast(Result, result)  # without an error there is one


def conclude(comm: MPI.Intracomm, error: Exception | None) -> Failure | None:
    """Collective: end a case; return on all ranks what one has raised, None if none has.

    The communicator serves nothing else. A rank that waits for what a failed one never sent cannot
    be told. So if the others do not come here within PATIENCE, a rank with an error prints it and
    ends the job.
    """
    arrival = comm.Ibarrier()
    deadline = time.monotonic() + PATIENCE
    while not arrival.Test():
        if error is not None and time.monotonic() > deadline:
            world.abort(comm, error)
        time.sleep(POLL)
    own = None if isinstance(error, FailedElsewhere) else error
    mine = None if own is None else asdict(Failure.of(comm.rank, own))
    failed = parcels.from_all(comm, mine)
    return next((Failure(**told) for told in failed if told), None)
