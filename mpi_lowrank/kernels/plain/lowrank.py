"""Products with D = a - b that never write D: NumPy, a block of rows at a time.

a and b are C-contiguous (m, c), the factors (m, r) and (c, r), all of one type, float32 or float64.
A block of D lies in a core's cache while BLAS reads it.
"""

import numpy as np

BLOCK = 2**16
"""Numbers of D that are formed at once."""


def times(a: np.ndarray, b: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """Write D R into `out`, (m, r). Each entry errs by c eps |D| |R| at most, row by row."""
    for rows, block in _blocks(a, b):
        np.matmul(block, right, out=out[rows])


def transposed_times(a: np.ndarray, b: np.ndarray, left: np.ndarray, out: np.ndarray) -> None:
    """Write D^T L into `out`, (c, r). Each entry errs by m eps |D^T| |L| at most."""
    for rows, block in _blocks(a, b):
        if rows.start == 0:
            np.matmul(block.T, left[rows], out=out)
        else:
            out += block.T @ left[rows]


def add_product(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """Add L R^T to `out`, (m, c). Each entry errs by (r + 1) eps (|out| + |L| |R^T|) at most."""
    height = _height(out)
    for start in range(0, len(out), height):
        rows = slice(start, start + height)
        out[rows] += left[rows] @ right.T


def _blocks(a, b):
    """(rows, a[rows] - b[rows]); the difference is overwritten by the next one."""
    height = _height(a)
    room = np.empty((height, a.shape[1]), a.dtype)
    for start in range(0, len(a), height):
        rows = slice(start, min(start + height, len(a)))
        block = room[: rows.stop - start]
        yield rows, np.subtract(a[rows], b[rows], out=block)


def _height(matrix):
    return min(len(matrix), max(1, BLOCK // matrix.shape[1]))
