"""The grounds that a sweep comes back to, because its seeds take turns."""

from collections.abc import Callable

from mpi_lowrank.config import Case
from mpi_lowrank.run.assembly import Ground

MOST = 8
"""Grounds kept at once."""

NUMBERS = 2**22
"""A ground with at most so many numbers on a rank, were its rows dense, is kept beside others."""


class Grounds:
    """Keeps several small grounds, but of large ones only the last. All ranks keep the same."""

    def __init__(self) -> None:
        self._kept: dict[object, Ground] = {}

    def of(self, case: Case, make: Callable[[], Ground]) -> Ground:
        """The case's ground; `make` makes it where none is kept."""
        key = case.workers, case.data, case.problem, case.dtype, case.seed
        if key not in self._kept:
            if not all(map(_small, self._kept.values())):
                self._kept.clear()  # before the next one takes its memory
            made = make()
            while self._kept and not (_small(made) and len(self._kept) < MOST):
                del self._kept[next(iter(self._kept))]
            self._kept[key] = made
        return self._kept[key]


def _small(ground: Ground) -> bool:
    """Told by what all ranks know alike."""
    rows = max(ground.placement.counts) * max(ground.shards.longest, 1)
    return rows * ground.problem.d <= NUMBERS
