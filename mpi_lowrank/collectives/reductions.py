"""How coefficients are averaged: in MPI's order and the wire's type, or in worker order."""

import numpy as np

from mpi_lowrank.collectives import collectives
from mpi_lowrank.collectives.base import Reduction
from mpi_lowrank.door import calls
from mpi_lowrank.door.calls import Cost


@collectives.register("mpi")
class Allreduce(Reduction):
    """A reduction: each rank sums its workers, an Allreduce sums the ranks, in the wire's type."""

    def allocate(self, k: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
        return np.empty(k, dtype), np.empty(k, dtype)

    def add_up(
        self, rows: np.ndarray, total: np.ndarray, buffers: list[np.ndarray], purpose: str
    ) -> None:
        local, reduced = buffers
        np.add.reduce(rows, axis=0, out=local)
        self.door.allreduce(local, reduced, purpose)
        total[...] = reduced

    def largest(self, rows: np.ndarray) -> np.ndarray:
        """The elementwise maximum (k,) over all workers of the local workers' rows (workers, k)."""
        mine = rows.max(axis=0)
        whole: np.ndarray = np.empty_like(mine)
        self.door.maximum(mine, whole, "uplink")
        return whole.astype(self.dtype)

    def handed(self, rows: np.ndarray) -> int:
        """One sum per rank."""
        return int(rows[0].nbytes) * self.placement.ranks

    @classmethod
    def downlink(cls, nbytes: int, workers: int) -> int:
        """The sum."""
        return nbytes

    @classmethod
    def cost(cls, nbytes: float, workers: int, ranks: int) -> Cost:
        return calls.ALLREDUCE.cost(nbytes, ranks)


@collectives.register("ordered")
class Ordered(Reduction):
    """A reduction: all rows are gathered and added in worker order, in the state's precision.

    So the mean has the same bits on any number of ranks.
    """

    ordered = True

    def allocate(self, k: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
        placement = self.placement
        return np.empty((placement.local, k), dtype), np.empty((placement.total, k), dtype)

    def add_up(
        self, rows: np.ndarray, total: np.ndarray, buffers: list[np.ndarray], purpose: str
    ) -> None:
        local, everybody = buffers
        local[...] = rows
        self.door.allgather(local, everybody.reshape(-1), self._counts(rows), purpose)
        total[...] = 0
        for row in everybody:
            total += row

    def _counts(self, rows: np.ndarray) -> list[int]:
        return [count * rows.shape[1] for count in self.placement.counts]

    def handed(self, rows: np.ndarray) -> int:
        """Every worker's."""
        return rows.itemsize * self.door.counted_in_allgather(self._counts(rows))

    @classmethod
    def downlink(cls, nbytes: int, workers: int) -> int:
        """All but its own."""
        return nbytes * (workers - 1)

    @classmethod
    def cost(cls, nbytes: float, workers: int, ranks: int) -> Cost:
        return calls.ALLGATHER.cost(nbytes * workers / ranks, ranks)
