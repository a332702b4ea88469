"""Starting MPI, agreeing on errors, ending a job that cannot go on."""

import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, TypeVar, cast

import mpi4py
import numpy as np

mpi4py.rc(initialize=False, finalize=True)

from mpi4py import MPI  # noqa: E402 (rc comes first)

from mpi_lowrank.errors import UserError  # noqa: E402
from mpi_lowrank.machine import output  # noqa: E402
from mpi_lowrank.machine.launch import check_library, check_size, read_launch, told_rank  # noqa: E402

Result = TypeVar("Result")

COURTESY = 3.0
"""Seconds that other ranks give rank 0 to write the record before they end the job."""


POLL = 0.01
"""Seconds between two looks of a rank that waits asleep."""


class AgreedError(Exception):
    """An error that all ranks know of and one of them has printed."""


def start() -> MPI.Intracomm:
    """Initialise MPI and return the world. Raises AgreedError for a mistaken launch."""
    library = MPI.Get_library_version()
    try:
        launch = read_launch()
        check_library(launch, library)
        if not MPI.Is_initialized():
            MPI.Init_thread(MPI.THREAD_FUNNELED)
        check_size(launch, MPI.COMM_WORLD.size, library)
    except UserError as error:
        if told_rank() == 0:
            report(error)
        raise AgreedError from error
    return MPI.COMM_WORLD


def report(error: UserError) -> None:
    """Print the error as one line, which is all that a user sees."""
    output.complain("error", error)


def agree(comm: MPI.Intracomm, step: Callable[[], Result]) -> Result:
    """Run a step without communication on every rank; a UserError on one is an error on all.

    The lowest rank with an error prints it; all raise AgreedError.
    """
    error: UserError | None = None
    result: Result | None = None
    try:
        result = step()
    except UserError as caught:
        error = caught
    mine = np.array([comm.rank if error else comm.size], dtype=np.int32)
    lowest = np.empty_like(mine)
    comm.Allreduce(mine, lowest, op=MPI.MIN)
    if error and lowest[0] == comm.rank:
        report(error)
    if lowest[0] < comm.size:
        raise AgreedError from error
    return cast(Result, result)  # without an error there is one


def meet_asleep(comm: MPI.Intracomm) -> None:
    """Collective: wait for all ranks without a processor, which others may be measured on."""
    arrival = comm.Ibarrier()
    while not arrival.Test():
        time.sleep(POLL)


def leave(comm: MPI.Intracomm, status: int) -> NoReturn:
    """End the job as the user asked; other ranks first wait for rank 0, which has the record."""
    if comm.rank > 0:
        time.sleep(COURTESY)
    comm.Abort(status)
    raise SystemExit(status)


def abort(comm: MPI.Intracomm, error: BaseException) -> NoReturn:
    """Print the error, with its traceback unless it is a user's, and end the job on every rank."""
    if isinstance(error, UserError):
        report(error)
    else:
        with suppress(OSError):  # a full disk behind standard error
            print(f"mpi-lowrank: rank {comm.rank} failed:", file=sys.stderr)
            traceback.print_exception(error)
            sys.stderr.flush()
    comm.Abort(1)
    raise SystemExit(1)
