"""How arrays get from rank to rank: the buffer calls that a transport has."""

from collections.abc import Sequence
from typing import Literal, NoReturn, Protocol

import numpy as np

Operation = Literal["sum", "max"]


class Transport(Protocol):
    """Buffer calls between `size` ranks on C-contiguous arrays, which may be empty.

    Every rank makes the same calls in the same order, but for `send` and its `receive`.
    """

    rank: int
    size: int

    def allgather(self, mine: np.ndarray, whole: np.ndarray, counts: Sequence[int]) -> None:
        """Fill the flat `whole` on every rank with everybody's `mine` in rank order.

        `counts` holds the elements of each rank's `mine`.
        """

    def gather(self, mine: np.ndarray, whole: np.ndarray | None, counts: Sequence[int]) -> None:
        """As `allgather`, on rank 0 alone: elsewhere `whole` and `counts` are not read."""

    def broadcast(self, array: np.ndarray, root: int) -> None:
        """Copy the root's array into everybody's."""

    def send(self, array: np.ndarray, to: int) -> None:
        """Hand the array to the rank `to`; may wait until that rank receives it."""

    def receive(self, array: np.ndarray, source: int) -> None:
        """Fill the array with what the rank `source` sends."""

    def allreduce(self, mine: np.ndarray, out: np.ndarray, operation: Operation) -> None:
        """Fill `out` on every rank with the elementwise sum or maximum, in the array's type."""

    def barrier(self) -> None:
        """Wait for all ranks."""


class Alone:
    """One process: what it sends to all comes back to itself, a copy."""

    rank, size = 0, 1

    def allgather(self, mine: np.ndarray, whole: np.ndarray, counts: Sequence[int]) -> None:
        whole[...] = mine.reshape(-1)

    def gather(self, mine: np.ndarray, whole: np.ndarray | None, counts: Sequence[int]) -> None:
        assert whole is not None  # on rank 0
        self.allgather(mine, whole, counts)

    def broadcast(self, array: np.ndarray, root: int) -> None:
        """It is there already."""

    def send(self, array: np.ndarray, to: int) -> NoReturn:
        """Raise RuntimeError: there is nobody."""
        raise RuntimeError(f"one process alone: there is no rank {to} to send to")

    def receive(self, array: np.ndarray, source: int) -> NoReturn:
        """Raise RuntimeError: there is nobody."""
        raise RuntimeError(f"one process alone: there is no rank {source} to receive from")

    def allreduce(self, mine: np.ndarray, out: np.ndarray, operation: Operation) -> None:
        out[...] = mine

    def barrier(self) -> None:
        """There is nobody to wait for."""
