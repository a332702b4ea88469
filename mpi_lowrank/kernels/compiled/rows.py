"""Products with rows of zeros and ones, by the distinct parts of rows; the sigmoid."""

import numpy as np

from mpi_lowrank.kernels.cache import compiled

BY_PARTS = True
"""See `plain.rows`."""

_CUT = "uint32[::1], uint64[::1], uint64[::1], uint32[:,::1]"
_BOTH = [f"void({_CUT}, {x}[:,::1], {x}[::1], {x}[:,::1])" for x in ("float32", "float64")]


@compiled(*_BOTH)
def times(codes, rows, starts, parts, x, sums, out):
    """out[w, i]: the sum, over the parts of row i of worker w, of x[w] at the part's columns.

    `parts` (all, columns of a part): those of worker w begin at `starts[w]`. `codes`: which of them
    the rows have, row (w, i) from `rows[w longest + i]` on. `sums` is scratch for those of one
    worker. x and out are (workers, columns) and (workers, longest).
    """
    workers, longest = out.shape
    for w in range(workers):
        mine, products, own = x[w], out[w], parts[starts[w] : starts[w + 1]]
        for p in range(len(own)):
            total = mine[own[p, 0]]
            for k in range(1, own.shape[1]):
                total += mine[own[p, k]]
            sums[p] = total
        ends = rows[w * longest : (w + 1) * longest + 1]
        for i in range(longest):
            total = sums[0] * 0
            for code in codes[ends[i] : ends[i + 1]]:
                total += sums[code]
            products[i] = total


@compiled(*_BOTH)
def transposed_times(codes, rows, starts, parts, r, sums, out):
    """out[w, j]: the sum of r[w] over the rows of worker w that hold column j; see `times`."""
    workers, longest = r.shape
    for w in range(workers):
        mine, products, own = r[w], out[w], parts[starts[w] : starts[w + 1]]
        sums[: len(own)] = 0
        ends = rows[w * longest : (w + 1) * longest + 1]
        for i in range(longest):
            value = mine[i]
            for code in codes[ends[i] : ends[i + 1]]:
                sums[code] += value
        products[:] = 0
        for p in range(len(own)):
            for k in range(own.shape[1]):
                products[own[p, k]] += sums[p]


def sigmoid(t: np.ndarray) -> None:
    """1 / (1 + exp(-t)) in place, off by at most 4 units in the last place."""
    np.negative(t, out=t)
    with np.errstate(over="ignore"):  # then it is 0
        np.exp(t, out=t)
    t += 1
    np.reciprocal(t, out=t)
