"""Sums whose bits depend on neither the order nor the grouping of what is added.

Every number is split into a high part that is a multiple of a unit common to all, and a rest, and
the rest once more. High parts are so few bits long that float64 adds them without any rounding, so
they may be added in any order, by MPI as well (Rump, Ogita, Oishi 2008, "Accurate floating-point
summation I"; Demmel, Nguyen 2013, "Fast reproducible floating-point summation").
"""

import numpy as np

FOLDS = 2
"""Parts that are kept of a number: of n numbers below m, what is lost is below n^3 2^-104 m."""

_MANTISSA, _NOT_FINITE = 52, 2047  # of float64: bits, and the exponent of inf and NaN
_COLUMNS = 2**12  # taken at once, so that copies stay in a core's cache


def units(largest: np.ndarray, count: int) -> np.ndarray:
    """The powers of two, (FOLDS, k), that split `count` numbers of size up to `largest` (k,).

    0 where that is not finite, or too near to overflow: nothing is split there.
    """
    room = (count + 1).bit_length()
    exponents = largest.view(np.int64) >> _MANTISSA  # biased
    exponents += room + 1
    exponents[exponents >= _NOT_FINITE] = 0
    out = np.empty((FOLDS, len(largest)))
    np.left_shift(exponents, _MANTISSA, out=out[0].view(np.int64))
    np.multiply(out[0], 2.0 ** (room - _MANTISSA - 1), out=out[1])
    return out


def high_parts(rows: np.ndarray, units: np.ndarray, out: np.ndarray) -> None:
    """Write the sums of the rows' high parts into `out` (FOLDS, k), exactly; rows is (n, k).

    Where a number is not finite, neither is the sum.
    """
    for at in range(0, rows.shape[1], _COLUMNS):
        columns = slice(at, at + _COLUMNS)
        rest = rows[:, columns].astype(np.float64)
        high = np.empty_like(rest)
        for unit, total in zip(units[:, columns], out[:, columns], strict=True):
            np.add(rest, unit, out=high)
            high -= unit
            np.add.reduce(high, axis=0, out=total)
            rest -= high
