"""The counted door: the only calls by which a run's arrays cross a rank boundary.

Every call is a buffer call on C-contiguous arrays and adds a ledger row: its operation, the buffer
that this rank handed to MPI (what it sends; for Bcast and Recv what it receives), seconds and
purpose. Buffers of more than `limit` elements go in chunks, a row each, because MPI before version
4 counts in 32-bit integers.
"""

import functools
from collections.abc import Iterator, Sequence
from time import perf_counter

import ml_dtypes
import numpy as np
from mpi4py import MPI

from mpi_lowrank.comm.ledger import SETUP, Ledger

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

LIMIT = 2**31 - 1
"""Elements in one call at the most."""


_NOTHING = np.zeros(0, np.uint8)


_MODEL = {
    "Allreduce": lambda p: 2 * (p - 1) / p,  # ring: reduce-scatter and allgather
    "Allgatherv": lambda p: p - 1,  # ring: every block passes every other rank
    "Gatherv": lambda p: (p - 1) / p,
    "Bcast": lambda p: (p - 1) / p,  # p - 1 copies, shared out over the ranks
    "Send": lambda p: 1,
    "Recv": lambda p: 0,
    "Barrier": lambda p: 0,
}
"""What a mean rank sends onto the wire for a byte handed over, on p ranks: the modelled traffic.

It is what long messages come to. Short ones and an MPI's other algorithms send more: see
bench/audit.
"""


class Door:
    """The counted calls on `comm`; `round` is written into every ledger row."""

    def __init__(self, comm: MPI.Intracomm, ledger: Ledger, limit: int = LIMIT):
        self.comm, self.ledger, self.limit = comm, ledger, limit
        self.rank, self.size = comm.rank, comm.size
        self.round = SETUP

    def allgather(
        self, mine: np.ndarray, whole: np.ndarray, counts: Sequence[int], purpose: str
    ) -> None:
        """Fill the flat `whole` on every rank with everybody's `mine` in rank order.

        `counts` holds the elements of each rank's `mine`.
        """
        if whole.size > self.limit:
            for root, part in enumerate(_parts(whole, counts)):
                if root == self.rank:
                    part[...] = mine.reshape(-1)
                self.broadcast(part, purpose, root)
            return
        began = perf_counter()
        self.comm.Allgatherv(_plain(mine), [_plain(whole), counts])
        self._count("Allgatherv", mine, began, purpose)

    def gather(
        self, mine: np.ndarray, whole: np.ndarray | None, counts: Sequence[int], purpose: str
    ) -> None:
        """Fill the flat `whole` on rank 0 with everybody's `mine` in rank order."""
        if sum(counts) > self.limit:
            self._gather_by_pairs(mine, whole, counts, purpose)
            return
        began = perf_counter()
        self.comm.Gatherv(_plain(mine), [_plain(whole), counts] if self.rank == 0 else None)
        self._count("Gatherv", mine, began, purpose)

    def broadcast(self, array: np.ndarray, purpose: str, root: int = 0) -> None:
        """Copy the root's array into everybody's."""
        for chunk in self._chunks(array):
            began = perf_counter()
            self.comm.Bcast(_plain(chunk), root)
            self._count("Bcast", chunk, began, purpose)

    def send(self, array: np.ndarray, to: int, purpose: str) -> None:
        for chunk in self._chunks(array):
            began = perf_counter()
            self.comm.Send(_plain(chunk), to)
            self._count("Send", chunk, began, purpose)

    def receive(self, array: np.ndarray, source: int, purpose: str) -> None:
        for chunk in self._chunks(array):
            began = perf_counter()
            self.comm.Recv(_plain(chunk), source)
            self._count("Recv", chunk, began, purpose)

    def ordered_sum(self, rows: np.ndarray, out: np.ndarray, purpose: str) -> None:
        """Sum everybody's rows, one a worker, in worker order: the same bits on any rank count.

        `rows` is (workers, k), `out` (k,). The sum travels from rank to rank, so it takes as many
        hops as there are ranks; it serves setup and evaluation, not the round.
        """
        out[:] = 0
        if self.rank > 0:
            self.receive(out, self.rank - 1, purpose)
        for row in rows:
            out += row
        if self.rank < self.size - 1:
            self.send(out, self.rank + 1, purpose)
        self.broadcast(out, purpose, self.size - 1)

    def maximum(self, mine: np.ndarray, out: np.ndarray, purpose: str) -> None:
        """The elementwise maximum over ranks; exact in any order.

        NaN counts as infinity: what MPI's own maximum makes of it depends on who has it.
        """
        self._reduce(np.where(np.isnan(mine), np.inf, mine), out, MPI.MAX, purpose)

    def allreduce(self, mine: np.ndarray, out: np.ndarray, purpose: str) -> None:
        """The sum over ranks, in the array's own precision and in MPI's own order."""
        add = MPI.SUM if _has_type(mine.dtype) else _sum_of(mine.dtype)
        self._reduce(mine, out, add, purpose)

    def _reduce(self, mine, out, op, purpose):
        for sent, received in zip(self._chunks(mine), self._chunks(out), strict=True):
            began = perf_counter()
            self.comm.Allreduce(_plain(sent), _plain(received), op)
            self._count("Allreduce", sent, began, purpose)

    def barrier(self, purpose: str) -> None:
        began = perf_counter()
        self.comm.Barrier()
        self._count("Barrier", _NOTHING, began, purpose)

    def _gather_by_pairs(self, mine, whole, counts, purpose):
        if self.rank > 0:
            self.send(mine, 0, purpose)
            return
        for source, part in enumerate(_parts(whole, counts)):
            if source == 0:
                part[...] = mine.reshape(-1)
            else:
                self.receive(part, source, purpose)

    def _chunks(self, array: np.ndarray) -> Iterator[np.ndarray]:
        flat = array.reshape(-1)
        return (flat[at : at + self.limit] for at in range(0, flat.size, self.limit))

    def _count(self, op: str, array: np.ndarray, began: float, purpose: str) -> None:
        seconds = perf_counter() - began
        modelled = array.nbytes * _MODEL[op](self.size)
        dtype = array.dtype.name
        self.ledger.add(self.round, op, dtype, array.size, array.nbytes, modelled, seconds, purpose)


def _plain(array: np.ndarray) -> np.ndarray:
    """The same bytes in a type that MPI knows."""
    return array if _has_type(array.dtype) else array.view(np.uint16)


@functools.cache
def _has_type(dtype: np.dtype) -> bool:
    """Whether this MPI knows such numbers: bfloat16 none does, float16 not Open MPI 4."""
    if dtype == BFLOAT16:
        return False
    try:
        return MPI.Datatype.fromcode(dtype.char).Get_size() == dtype.itemsize
    except MPI.Exception:
        return False


@functools.cache
def _sum_of(dtype: np.dtype) -> MPI.Op:
    """The sum of numbers of two bytes for which MPI has no type."""

    def add(sent: MPI.buffer, into: MPI.buffer, _: MPI.Datatype) -> None:
        total = np.frombuffer(into, dtype)
        total += np.frombuffer(sent, dtype)

    return MPI.Op.Create(add, commute=True)


def _parts(whole: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
    return np.split(whole, np.cumsum(counts)[:-1])
