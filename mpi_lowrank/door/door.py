"""The counted door: the only calls by which a run's arrays cross a rank boundary.

Every call is a buffer call on C-contiguous arrays and adds a row to the ledger: its operation, the
buffer that this rank handed over (what it sends; for Bcast and Recv what it receives), seconds and
purpose. Buffers of more than `limit` elements go in chunks, one row each, because MPI before
version 4 counts in 32-bit integers.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from time import perf_counter

import numpy as np

from mpi_lowrank.door import calls, folds
from mpi_lowrank.door.ledger import SETUP, Ledger
from mpi_lowrank.door.transport import Operation, Transport

LIMIT = 2**31 - 1
"""The most elements in one call."""

_NOTHING = np.zeros(0, np.uint8)


class Door:
    """The counted calls on a transport; `round` is written into every row of its `ledger`."""

    def __init__(self, transport: Transport, limit: int = LIMIT):
        self.transport, self.limit = transport, limit
        self.rank, self.size = transport.rank, transport.size
        self.ledger = Ledger(transport.rank, transport.size)
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
        move = self.transport.allgather
        self._counted(calls.ALLGATHER, mine, purpose, move, mine, whole, counts)

    def gather(
        self,
        mine: np.ndarray,
        whole: np.ndarray | None,
        counts: Sequence[int],
        purpose: str,
        most: int | None = None,
    ) -> None:
        """Fill the flat `whole` on rank 0 with everybody's `mine` in rank order.

        `most`: where rank 0 alone knows the `counts`, the most elements that `whole` may hold, the
        same on every rank. By it all ranks choose the same kind of call.
        """
        if self._in_pairs(counts, most):
            self._gather_by_pairs(mine, whole, counts, purpose)
            return
        move = self.transport.gather
        self._counted(calls.GATHER, mine, purpose, move, mine, whole, counts)

    def counted_in_allgather(self, counts: Sequence[int]) -> int:
        """The elements that the ledgers of all ranks together count for an `allgather`."""
        total = sum(counts)
        return total * self.size if total > self.limit else total

    def counted_in_gather(self, counts: Sequence[int], most: int | None = None) -> int:
        """As `counted_in_allgather`, of a `gather`; for rank 0, which knows the counts."""
        total = sum(counts)
        return 2 * (total - counts[0]) if self._in_pairs(counts, most) else total

    def broadcast(self, array: np.ndarray, purpose: str, root: int = 0) -> None:
        """Copy the root's array into everybody's."""
        for chunk in self._chunks(array):
            self._counted(calls.BROADCAST, chunk, purpose, self.transport.broadcast, chunk, root)

    def send(self, array: np.ndarray, to: int, purpose: str) -> None:
        """Hand the array to the rank `to`, which receives it."""
        for chunk in self._chunks(array):
            self._counted(calls.SEND, chunk, purpose, self.transport.send, chunk, to)

    def receive(self, array: np.ndarray, source: int, purpose: str) -> None:
        """Fill the array with what the rank `source` sends."""
        for chunk in self._chunks(array):
            self._counted(calls.RECEIVE, chunk, purpose, self.transport.receive, chunk, source)

    def exact_sum(self, rows: np.ndarray, out: np.ndarray, total: int, purpose: str) -> None:
        """Sum everybody's rows, `total` in all, with the same bits on any number of ranks.

        `rows` is (workers, k), `out` (k,) float64, rounded once. Two Allreduces of 3 k numbers in
        all, whose steps grow with the logarithm of the ranks; see `mpi_lowrank.door.folds`.
        """
        mine, largest = np.zeros((2, rows.shape[1]))
        np.maximum(rows.max(axis=0), -rows.min(axis=0), out=mine)
        self.maximum(mine, largest, purpose)
        units = folds.units(largest, total)
        local, parts = np.empty((2, *units.shape))
        folds.high_parts(rows, units, local)
        self.allreduce(local, parts, purpose)
        np.add.reduce(parts[::-1], axis=0, out=out)

    def maximum(self, mine: np.ndarray, out: np.ndarray, purpose: str) -> None:
        """The elementwise maximum over ranks; exact in any order.

        NaN counts as infinity: what MPI's own maximum makes of it depends on who has it.
        """
        self._reduce(np.where(np.isnan(mine), np.inf, mine), out, "max", purpose)

    def allreduce(self, mine: np.ndarray, out: np.ndarray, purpose: str) -> None:
        """The sum over ranks, in the array's own precision and in the transport's own order."""
        self._reduce(mine, out, "sum", purpose)

    def barrier(self, purpose: str) -> None:
        """Wait for all ranks."""
        self._counted(calls.BARRIER, _NOTHING, purpose, self.transport.barrier)

    def _reduce(
        self, mine: np.ndarray, out: np.ndarray, operation: Operation, purpose: str
    ) -> None:
        move = self.transport.allreduce
        for sent, received in zip(self._chunks(mine), self._chunks(out), strict=True):
            self._counted(calls.ALLREDUCE, sent, purpose, move, sent, received, operation)

    def _in_pairs(self, counts: Sequence[int], most: int | None) -> bool:
        """Whether a `gather` is a send and its receive for each rank but 0, not one call."""
        return (sum(counts) if most is None else most) > self.limit

    def _gather_by_pairs(
        self, mine: np.ndarray, whole: np.ndarray | None, counts: Sequence[int], purpose: str
    ) -> None:
        if self.rank > 0:
            self.send(mine, 0, purpose)
            return
        assert whole is not None  # on rank 0
        for source, part in enumerate(_parts(whole, counts)):
            if source == 0:
                part[...] = mine.reshape(-1)
            else:
                self.receive(part, source, purpose)

    def _chunks(self, array: np.ndarray) -> Iterable[np.ndarray]:
        flat = array.reshape(-1)
        if 0 < flat.size <= self.limit:
            return (flat,)
        return (flat[at : at + self.limit] for at in range(0, flat.size, self.limit))

    def _counted(
        self, call: calls.Call, handed: np.ndarray, purpose: str, move: Callable, *arguments: object
    ) -> None:
        """Make the call and write its row: the one place where anything is counted."""
        began = perf_counter()
        move(*arguments)
        seconds = perf_counter() - began
        modelled = handed.nbytes * call.wire(self.size)
        kind, size, nbytes = _name(handed.dtype), handed.size, handed.nbytes
        self.ledger.add(self.round, call.op, kind, size, nbytes, modelled, seconds, purpose)


@cache
def _name(dtype: np.dtype) -> str:
    """Remembered, because NumPy makes the name anew, which takes longer than to write the row."""
    return dtype.name


def _parts(whole: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
    return np.split(whole, np.cumsum(counts)[:-1])
