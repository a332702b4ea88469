"""Norms of buckets, as they are sent."""

import numpy as np


class BucketNorms:
    """The l2 norms, or else the largest magnitudes, of buckets of `size` of d numbers each.

    They are rounded up to the type `number`. The last bucket may be shorter.
    """

    def __init__(self, d: int, size: int, l2: bool, number: np.dtype):
        self.d, self.size, self.l2, self.number = d, size, l2, number
        self.buckets = -(-d // size)

    def prepare(self, rows: int, dtype: np.dtype) -> None:
        """Allocate for up to `rows` rows per call."""
        padded = self.buckets * self.size
        self._padded = np.zeros((rows, padded if padded > self.d else 0), dtype)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Those of the rows of x (rows, d): (rows, buckets), of the type `number`."""
        numbers = self._in_buckets(x)
        exact = np.maximum(numbers.max(axis=2), -numbers.min(axis=2))
        if self.l2:
            exact = _lengths(numbers, exact)
        norms = exact.astype(self.number)
        short = norms < exact
        norms[short] = np.nextafter(norms[short], self.number.type(np.inf))
        return norms

    def _in_buckets(self, x: np.ndarray) -> np.ndarray:
        """(rows, buckets, size), a copy only where zeros fill up the last bucket."""
        if self._padded.size:
            self._padded[: len(x), : self.d] = x
            x = self._padded[: len(x)]
        return x.reshape(len(x), self.buckets, self.size)


def _lengths(x: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """|x|_2 of the buckets of x (rows, buckets, size), whose `largest` magnitudes are known.

    Where squares might overflow or vanish numbers are first multiplied by a power of two.
    """
    powers = np.frexp(largest)[1]
    powers[np.abs(powers) <= np.finfo(x.dtype).maxexp // 4] = 0
    if powers.any():
        x = np.ldexp(x, -powers[:, :, np.newaxis])
    lengths: np.ndarray = np.ldexp(np.sqrt(np.einsum("wbi,wbi->wb", x, x)), powers)
    return lengths
