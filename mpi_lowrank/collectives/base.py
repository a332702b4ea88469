"""The two kinds of collectives: topologies for messages, reductions for coefficients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from mpi_lowrank.component import Component
from mpi_lowrank.door import Door
from mpi_lowrank.door.calls import Cost
from mpi_lowrank.door.placement import Placement


class Topology(Component, ABC):
    """How the workers' messages get to the ranks that decode them: a case's `topology`.

    Who decodes is either every rank, or rank 0 alone, which then tells the others the mean.
    """

    server = False
    """Whether rank 0 alone decodes."""

    def __init__(self, door: Door):
        self.door = door
        self.receives = not self.server or door.rank == 0
        """Whether this rank gets everybody's messages, to decode them."""

    @abstractmethod
    def move(
        self, mine: np.ndarray, whole: np.ndarray | None, counts: Sequence[int], purpose: str
    ) -> None:
        """Fill the flat `whole`, where this rank receives, with everybody's `mine` in rank order.

        `counts`: the elements of each rank's `mine`, of one type. Where a rank receives nothing,
        `whole` is None.
        """

    def move_varying(
        self,
        mine: np.ndarray,
        whole: np.ndarray | None,
        counts: Sequence[int],
        most: int,
        purpose: str,
    ) -> None:
        """As `move`, for messages of varying length.

        A rank that receives nothing has only its own entry in `counts`. `most`: the most elements
        that all ranks together may have, the same on every rank.
        """
        self.move(mine, whole, counts, purpose)

    def handed(self, counts: Sequence[int]) -> int:
        """The elements that a `move` adds to the ledgers of all ranks together.

        Every rank's call counts: a Bcast on 4 ranks four times, a Send and its Recv twice.
        """
        return sum(counts)

    def handed_varying(self, counts: Sequence[int], most: int) -> int:
        """As `handed`, of a `move_varying`; it is asked for where messages are received."""
        return self.handed(counts)

    def tell(self, mean: np.ndarray) -> None:
        """Copy the `mean` (d,) of rank 0, which alone has it, to all. Only with a server."""
        self.door.broadcast(mean, "downlink")

    @classmethod
    @abstractmethod
    def downlink(cls, sent: int, told: int, workers: int) -> float:
        """The bytes that a worker has to receive back, the mean over workers.

        `sent`: bytes of all messages. `told`: bytes of the mean, 0 where the server keeps it.
        """

    @classmethod
    @abstractmethod
    def cost(cls, message: float, told: int, workers: int, ranks: int) -> Cost:
        """The cost of a round with messages of `message` bytes each and a mean of `told` bytes."""


class Reduction(Component, ABC):
    """How the mean of shared compressors' coefficients is taken: a case's `reduction`.

    `dtype` is the mean's: the state's.
    """

    ordered = False
    """Whether the mean has the same bits on any number of ranks."""

    def __init__(self, door: Door, placement: Placement, dtype: np.dtype):
        self.door, self.placement, self.dtype = door, placement, dtype
        self._buffers: dict[tuple[int, np.dtype], tuple[np.ndarray, ...]] = {}

    def average(self, rows: np.ndarray, purpose: str) -> np.ndarray:
        """The mean (k,) over all workers of the local workers' rows (workers, k).

        Overwritten by the next call with rows of the same shape and type.
        """
        key = rows.shape[1], rows.dtype
        if key not in self._buffers:
            self._buffers[key] = *self.allocate(*key), np.empty(key[0], self.dtype)
        *buffers, mean = self._buffers[key]
        self.add_up(rows, mean, buffers, purpose)
        mean /= self.placement.total
        return mean

    @abstractmethod
    def allocate(self, k: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
        """The buffers of `add_up` for rows of k numbers of that type."""

    @abstractmethod
    def add_up(
        self, rows: np.ndarray, total: np.ndarray, buffers: list[np.ndarray], purpose: str
    ) -> None:
        """Fill `total` (k,) with the sum over all workers of the local workers' rows."""

    @abstractmethod
    def handed(self, rows: np.ndarray) -> int:
        """The bytes that all ranks together count in the ledger for the mean of such rows."""

    @classmethod
    @abstractmethod
    def downlink(cls, nbytes: int, workers: int) -> int:
        """The bytes that a worker has to receive back, where each worker has `nbytes`."""

    @classmethod
    @abstractmethod
    def cost(cls, nbytes: float, workers: int, ranks: int) -> Cost:
        """The cost of one mean, where each worker has `nbytes`."""
