"""The method's own clock: where a round's seconds go."""

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import fmean, median
from time import perf_counter
from typing import cast

import numpy as np

METHOD = ("gradient", "compress", "exchange", "decode", "update")
"""The phases of a round. `update` is the method's own arithmetic: what no other phase claims."""

PHASES = (*METHOD, "evaluate")

_AT = {phase: index for index, phase in enumerate(PHASES)}

KEPT = 4096
"""How many of the last rounds' seconds are kept one by one."""

FEW = 20
"""This many rounds are too few to tell how even rounds are."""


class Clock:
    """Seconds by phase. It runs between `resume` and `pause`; evaluation is timed apart.

    `totals` (len(PHASES),) float64 is where they are added up, from what it holds on.
    """

    def __init__(self, totals: np.ndarray | None = None):
        totals = np.zeros(len(PHASES)) if totals is None else totals
        # A view takes a third of the time that an array's numbers take.
        self._totals = cast("memoryview[float]", totals.data)
        self._last = self._resumed = 0.0
        self._kept, self._rounds = array("d", bytes(8 * KEPT)), 0

    @property
    def seconds(self) -> dict[str, float]:
        """The totals by phase."""
        return dict(zip(PHASES, self._totals.tolist(), strict=True))

    def resume(self) -> None:
        self._last = self._resumed = perf_counter()

    def lap(self, phase: str) -> None:
        """Charge the time since the last lap to `phase`."""
        now = perf_counter()
        self._totals[_AT[phase]] += now - self._last
        self._last = now

    def charge(self, phase: str, seconds: float) -> None:
        """Charge `phase` these seconds in place of the time since the last lap."""
        self._totals[_AT[phase]] += seconds
        self._last = perf_counter()

    def pause(self) -> None:
        self.lap("update")
        self._kept[self._rounds % KEPT] = self._last - self._resumed
        self._rounds += 1

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Charge nothing for the block."""
        kept = self._totals.tolist()
        yield
        self._totals[:] = array("d", kept)

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Time the block as evaluation, outside the method's clock."""
        began = perf_counter()
        yield
        self._totals[_AT["evaluate"]] += perf_counter() - began

    def total(self) -> float:
        """Seconds of the method, evaluation left out."""
        seconds = self.seconds
        return sum(seconds[phase] for phase in METHOD)

    def unevenness(self) -> float:
        """The mean of the last rounds' seconds over their median, the first round left out.

        1 where there are few of them.
        """
        last = self._kept if self._rounds > KEPT else self._kept[1 : self._rounds]
        return fmean(last) / median(last) if len(last) >= FEW else 1.0
