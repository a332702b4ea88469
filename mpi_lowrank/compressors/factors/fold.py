"""A vector seen as a matrix or a tensor."""

from math import prod

import numpy as np
from numpy.typing import DTypeLike


class Fold:
    """Rows of d numbers seen as arrays of `shape`; zeros pad them, and are cut off again.

    Where nothing is padded rows and arrays share their memory, and nothing is copied.
    """

    def __init__(self, d: int, shape: tuple[int, ...], dtype: DTypeLike):
        self.d, self.shape, self.dtype = d, shape, np.dtype(dtype)
        self.padded = prod(shape) > d

    def prepare(self, seen: int, decoded: int) -> None:
        """Allocate for calls of up to `seen` rows, and of up to `decoded` of `room`, at least 1."""
        if self.padded:
            self._seen = self.zeros(seen)
            self._room = np.empty((decoded, *self.shape), self.dtype)

    def zeros(self, rows: int) -> np.ndarray:
        """So many new arrays, (rows, *shape), to be filled by `numbers`."""
        return np.zeros((rows, *self.shape), self.dtype)

    def numbers(self, arrays: np.ndarray) -> np.ndarray:
        """The numbers of the arrays that are no padding, (rows, d), a view."""
        return arrays.reshape(len(arrays), -1)[:, : self.d]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The rows of x (rows, d) as arrays; a copy, until the next call, only where padded."""
        if not self.padded:
            return x.reshape(-1, *self.shape)
        seen = self._seen[: len(x)]
        self.numbers(seen)[...] = x
        return seen

    def room(self, out: np.ndarray) -> np.ndarray:
        """Where to write the arrays that stand for the rows of `out` (rows, d); then comes `cut`.

        `out` is C-contiguous: it may be that place itself.
        """
        return self._room[: len(out)] if self.padded else out.reshape(-1, *self.shape)

    def cut(self, out: np.ndarray) -> None:
        """Write what is in the room, less the padding, into the rows of `out`."""
        if self.padded:
            out[...] = self.numbers(self._room[: len(out)])

    def write(self, out: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
        """Write the matrix `left` `right`, less the padding, into the single row `out`, (d,)."""
        if self.padded:
            np.matmul(left, right, out=self._room[0])
            out[:] = self._room[0].reshape(-1)[: self.d]
        else:
            np.matmul(left, right, out=out.reshape(self.shape))
