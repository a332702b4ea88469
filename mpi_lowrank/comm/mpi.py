"""MPI as a transport: the only place where a run's arrays are handed to MPI."""

import functools
import time
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from mpi4py import MPI

from mpi_lowrank.door.transport import Operation

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

NAP = 5e-5
"""Seconds between two looks at a call that is under way."""


class MpiTransport:
    """The ranks of a communicator; types that MPI does not know travel as their bytes."""

    def __init__(self, comm: MPI.Intracomm):
        self._comm = comm
        self.rank, self.size = comm.rank, comm.size

    def allgather(self, mine: np.ndarray, whole: np.ndarray, counts: Sequence[int]) -> None:
        self._comm.Allgatherv(_plain(mine), _parts(whole, counts))

    def gather(self, mine: np.ndarray, whole: np.ndarray | None, counts: Sequence[int]) -> None:
        into = None if whole is None or self.rank > 0 else _parts(whole, counts)
        self._comm.Gatherv(_plain(mine), into)

    def broadcast(self, array: np.ndarray, root: int) -> None:
        self._comm.Bcast(_plain(array), root)

    def send(self, array: np.ndarray, to: int) -> None:
        self._comm.Send(_plain(array), to)

    def receive(self, array: np.ndarray, source: int) -> None:
        self._comm.Recv(_plain(array), source)

    def allreduce(self, mine: np.ndarray, out: np.ndarray, operation: Operation) -> None:
        self._comm.Allreduce(_plain(mine), _plain(out), _operation(operation, mine.dtype))

    def barrier(self) -> None:
        self._comm.Barrier()


class NappingTransport(MpiTransport):
    """The same calls for ranks that share a core: one that waits sleeps, and so lets others run.

    MPI's own calls wait by spinning: an Allreduce of 256 KiB between 4 ranks on 2 cores takes 300
    ms so, and 3 with naps. The sums may be added up in another order than those of `MpiTransport`.
    """

    def allgather(self, mine: np.ndarray, whole: np.ndarray, counts: Sequence[int]) -> None:
        _doze(self._comm.Iallgatherv(_plain(mine), _parts(whole, counts)))

    def gather(self, mine: np.ndarray, whole: np.ndarray | None, counts: Sequence[int]) -> None:
        into = None if whole is None or self.rank > 0 else _parts(whole, counts)
        _doze(self._comm.Igatherv(_plain(mine), into))

    def broadcast(self, array: np.ndarray, root: int) -> None:
        _doze(self._comm.Ibcast(_plain(array), root))

    def send(self, array: np.ndarray, to: int) -> None:
        _doze(self._comm.Isend(_plain(array), to))

    def receive(self, array: np.ndarray, source: int) -> None:
        _doze(self._comm.Irecv(_plain(array), source))

    def allreduce(self, mine: np.ndarray, out: np.ndarray, operation: Operation) -> None:
        combine = _operation(operation, mine.dtype)
        _doze(self._comm.Iallreduce(_plain(mine), _plain(out), combine))

    def barrier(self) -> None:
        _doze(self._comm.Ibarrier())


def _doze(request: MPI.Request) -> None:
    while not request.Test():
        time.sleep(NAP)


def _parts(whole: np.ndarray, counts: Sequence[int]) -> list:
    """A buffer of which rank i has counts[i] elements; mpi4py takes a tuple for something else."""
    return [_plain(whole), list(counts)]


def _plain(array: np.ndarray) -> np.ndarray:
    """The same bytes in a type that MPI knows."""
    return array if _has_type(array.dtype) else array.view(np.uint16)


def _operation(name: Operation, dtype: np.dtype) -> MPI.Op:
    if _has_type(dtype):
        return MPI.SUM if name == "sum" else MPI.MAX
    return _operation_on(name, dtype)


@functools.cache
def _has_type(dtype: np.dtype) -> bool:
    """Whether this MPI knows such numbers. No MPI knows bfloat16, Open MPI 4 not float16."""
    if dtype == BFLOAT16:
        return False
    try:
        return MPI.Datatype.fromcode(dtype.char).Get_size() == dtype.itemsize
    except MPI.Exception:
        return False


@functools.cache
def _operation_on(name: Operation, dtype: np.dtype) -> MPI.Op:
    """The sum or maximum of numbers of two bytes for which MPI has no type."""
    combine = np.add if name == "sum" else np.maximum

    def into_second(sent: Any, into: Any, _: MPI.Datatype) -> None:
        total = np.frombuffer(into, dtype)
        combine(np.frombuffer(sent, dtype), total, out=total)

    return MPI.Op.Create(into_second, commute=True)
