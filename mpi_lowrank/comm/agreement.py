"""Whether to stop: all ranks agree on it a few times a second."""

import time
from collections.abc import Callable

import numpy as np

from mpi_lowrank.door import Door

PERIOD = 0.25
"""About the seconds between two agreements: Open MPI gives ranks half a second to end."""

GROWTH = 4
"""The most by which the steps between two agreements are multiplied."""


class Agreement:
    """Ranks that take the same steps, such as rounds, agree every few steps whether to stop.

    An agreement costs an Allreduce, so there is none after every step. How many steps lead to the
    next one follows from the pace of the slowest rank since the last one. All learn that pace in
    the same Allreduce, and so agree on it, whatever their clocks say. `wished`: whether this rank
    was asked to stop. `seconds`: until the last agreement, on the slowest ranks; the same on all.
    """

    def __init__(self, door: Door, wished: Callable[[], bool]):
        self._door, self._wished = door, wished
        self._next = self._steps = 0
        self._last = time.monotonic()
        self.seconds = 0.0
        self._mine, self._most = np.zeros((2, 2))

    def due(self, done: int) -> bool:
        """Whether all ranks must `reach` an agreement after `done` steps; the same on each."""
        return done >= self._next

    def reach(self, done: int) -> bool:
        """Collective: whether any rank was asked to stop."""
        self._mine[:] = self._wished(), time.monotonic() - self._last
        self._door.maximum(self._mine, self._most, "control")
        wished, seconds = self._most
        pace = self._steps / max(seconds, 1e-9)
        self._steps = max(1, min(GROWTH * self._steps, int(PERIOD * pace)))
        self.seconds += float(seconds)
        self._next, self._last = done + self._steps, time.monotonic()
        return bool(wished)
