"""A difference of vectors that is formed only where somebody asks for its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike


@dataclass(frozen=True)
class Difference:
    """minuend - subtrahend, (workers, ...); the subtrahend may be one for all workers.

    As an array it is written into `room`, of the minuend's shape, which the next one overwrites
    unless a copy is asked for.
    """

    minuend: np.ndarray
    subtrahend: np.ndarray
    room: np.ndarray

    def __len__(self) -> int:
        return len(self.minuend)

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> np.ndarray[Any, Any]:
        formed = np.subtract(self.minuend, self.subtrahend, out=self.room)
        return formed.astype(dtype or formed.dtype, copy=bool(copy))

    def seen_as(self, shape: tuple[int, ...]) -> Difference:
        """The same vectors as arrays of that shape; the subtrahend is one vector (d,)."""
        rows = -1, *shape
        subtrahend = self.subtrahend.reshape(shape)
        return Difference(self.minuend.reshape(rows), subtrahend, self.room.reshape(rows))
