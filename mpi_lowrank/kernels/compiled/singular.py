"""The leading singular vectors of many small matrices, side by side in a core's cache.

The smaller of X X^T and X^T X, its trace made 1, is squared until it is of rank 1: after k times
its other eigenvalues are (s_2 / s_1)^(2^(k+1)) of the first one. Each squaring errs by a few units
and doubles the distance to the second eigenvalue, so that the vector errs by no more than twice
what a first rounding of X X^T does, q eps s_1^2 / (s_1^2 - s_2^2). What is then left of a second
direction has nearly the same singular value, and the approximation is as good with it.
"""

import numpy as np

from mpi_lowrank.kernels.cache import compiled

AT_ONCE = True
"""See `plain.singular`."""

LANES = 16
"""Matrices that are squared side by side: loops of their lengths are single instructions."""

SQUARINGS = 60
"""After so many, singular values that differ by a unit are told apart."""

NEAR = 1 - 1e-9
"""A trace of the square from which one more squaring leaves less than a unit of other directions.
"""

_LANES = "float64[::1]"


@compiled(f"void({_LANES}, {_LANES}, int64, int64, {_LANES})")
def _products(left, right, rows, shared, out):
    """The products of all pairs of rows, lane by lane: out is symmetric, (rows, rows, LANES)."""
    for a in range(rows):
        for b in range(a + 1):
            total = out[(a * rows + b) * LANES : (a * rows + b + 1) * LANES]
            total[:] = 0
            for k in range(shared):
                p = left[(a * shared + k) * LANES : (a * shared + k + 1) * LANES]
                q = right[(b * shared + k) * LANES : (b * shared + k + 1) * LANES]
                for lane in range(LANES):
                    total[lane] += p[lane] * q[lane]
            if b < a:
                out[(b * rows + a) * LANES : (b * rows + a + 1) * LANES] = total


@compiled(f"void({_LANES}, int64, {_LANES})")
def _traces(square, rows, out):
    out[:] = 0
    for a in range(rows):
        diagonal = square[a * (rows + 1) * LANES : (a * (rows + 1) + 1) * LANES]
        for lane in range(LANES):
            out[lane] += diagonal[lane]


@compiled(f"void(float64[:,:,::1], int64, {_LANES}, {_LANES})")
def _load(matrices, first, wide, scales):
    """Matrices as (short side, long side, LANES), their largest entries 1; zeros beyond the last.

    `scales` are what they were divided by.
    """
    workers, m, c = matrices.shape
    longer = max(m, c)
    wide[:] = 0
    for lane in range(min(LANES, workers - first)):
        matrix, largest = matrices[first + lane], 0.0
        for i in range(m):
            for j in range(c):
                largest = max(largest, abs(matrix[i, j]))
        scales[lane] = largest if largest > 0 else 1.0
        for i in range(m):
            for j in range(c):
                place = i * longer + j if m <= c else j * longer + i
                wide[place * LANES + lane] = matrix[i, j] / scales[lane]


@compiled(f"void({_LANES}, {_LANES}, {_LANES}, boolean[::1])")
def _take_over(power, shares, square, going):
    """Write `power` times the shares into `square`, in the lanes that are still going."""
    for at in range(0, len(square), LANES):
        old, new = square[at : at + LANES], power[at : at + LANES]
        for lane in range(LANES):
            old[lane] = new[lane] * shares[lane] if going[lane] else old[lane]


@compiled(f"void({_LANES}, int64, {_LANES}, {_LANES})")
def _square(power, short, shares, square):
    """Write the limit of the powers of `power`, which is overwritten, into `square`, trace 1."""
    going, traces = np.ones(LANES, np.bool_), np.zeros(LANES)
    for turn in range(SQUARINGS + 1):
        _traces(power, short, traces)
        for lane in range(LANES):
            shares[lane] = 1 / traces[lane] if traces[lane] > 0 else 0.0
        _take_over(power, shares, square, going)
        left = turn == 0  # the trace of X X^T itself may be any
        for lane in range(LANES):
            going[lane] &= turn == 0 or 0 < traces[lane] < NEAR
            left |= going[lane]
        if not left:
            break
        _products(square, square, short, short, power)


@compiled(f"void({_LANES}, {_LANES}, int64, float64, int64, float64[::1], float64[::1], boolean)")
def _write(wide, square, lane, scale, short, near, far, near_is_left):
    """The vector along the shorter side and the one along the other; the right one has length s_1.

    `near`, (short,), is the column of the square whose diagonal entry is largest.
    """
    place, longer = 0, len(far)
    for i in range(1, short):
        if square[i * (short + 1) * LANES + lane] > square[place * (short + 1) * LANES + lane]:
            place = i
    total = 0.0
    for i in range(short):
        near[i] = square[(i * short + place) * LANES + lane]
        total += near[i] * near[i]
    if total == 0:
        near[0] = total = 1.0
    for i in range(short):
        near[i] /= np.sqrt(total)
    far[:] = 0
    for i in range(short):
        for j in range(longer):
            far[j] += near[i] * wide[(i * longer + j) * LANES + lane]
    if near_is_left:
        for j in range(longer):
            far[j] *= scale
        return
    total = 0.0
    for j in range(longer):
        total += far[j] * far[j]
    size = np.sqrt(total)
    for i in range(short):
        near[i] *= size * scale
    if size == 0:
        far[0] = size = 1.0
    for j in range(longer):
        far[j] /= size


@compiled("void(float64[:,:,::1], float64[:,::1], float64[:,::1])")
def leading(matrices, lefts, rights):
    """As the plain one; the largest entry of the vector along the shorter side is positive."""
    workers, m, c = matrices.shape
    short, longer = min(m, c), max(m, c)
    wide, scales, shares = np.zeros(short * longer * LANES), np.ones(LANES), np.zeros(LANES)
    square, power = np.zeros(short * short * LANES), np.zeros(short * short * LANES)
    for first in range(0, workers, LANES):
        _load(matrices, first, wide, scales)
        _products(wide, wide, short, longer, power)
        _square(power, short, shares, square)
        for lane in range(min(LANES, workers - first)):
            left, right = lefts[first + lane], rights[first + lane]
            if m <= c:
                _write(wide, square, lane, scales[lane], short, left, right, True)
            else:
                _write(wide, square, lane, scales[lane], short, right, left, False)
