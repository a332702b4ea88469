"""Whether to stop: all ranks agree on it a few times a second."""

import time
from collections.abc import Callable

import numpy as np

from mpi_lowrank.door import Door

PERIOD = 0.25
"""Seconds between two agreements, about: Open MPI gives ranks half a second to end."""

GROWTH = 4
"""The factor by which the steps between two agreements grow at the most."""


class Agreement:
    """Ranks that take the same steps (rounds, say) agree after few of them whether one must stop.

    An agreement costs an Allreduce, so there is none after every step. The steps to the next one
    follow from the pace of the slowest rank since the last one, which all are told in the same
    Allreduce: so all know it alike, whatever their clocks say. `wished`: whether this rank was
    asked to stop. `seconds`: those until the last agreement, of the slowest ranks; the same on all.
    """

    def __init__(self, door: Door, wished: Callable[[], bool]):
        self._door, self._wished = door, wished
        self._next = self._steps = 0
        self._last = time.monotonic()
        self.seconds = 0.0
        self._mine, self._most = np.zeros((2, 2))

    def due(self, done: int) -> bool:
        """Whether all ranks are to `reach` an agreement after `done` steps; the same on each."""
        return done >= self._next

    def reach(self, done: int) -> bool:
        """Collective: whether a rank was asked to stop."""
        self._mine[:] = self._wished(), time.monotonic() - self._last
        self._door.maximum(self._mine, self._most, "control")
        wished, seconds = self._most
        pace = self._steps / max(seconds, 1e-9)
        self._steps = max(1, min(GROWTH * self._steps, int(PERIOD * pace)))
        self.seconds += float(seconds)
        self._next, self._last = done + self._steps, time.monotonic()
        return bool(wished)
