"""Products with D = a - b that never write D: loops with up to WIDE sums in registers, else BLAS.

Sums are taken in another order than the plain ones', within the same bounds.
"""

import numpy as np
from scipy.linalg.blas import dgemm, sgemm

from mpi_lowrank.kernels.cache import compiled
from mpi_lowrank.kernels.plain import lowrank as plain

WIDE = 4
"""Columns of a factor that the loops take; beyond that BLAS computes more than memory waits."""

ORDER = {"reassoc", "contract", "nsz"}
"""Sums may be reordered, products fused; what is not finite stays so."""

_NUMBERS = ("float32", "float64")


def times(a: np.ndarray, b: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """As the plain one."""
    r = right.shape[1]
    if r > WIDE:
        plain.times(a, b, right, out)
    elif r == 1:
        _times_1(a, b, right[:, 0].copy(), out[:, 0])
    else:
        _times_4(a, b, _rows(right), room := np.empty((len(a), WIDE), a.dtype))
        out[...] = room[:, :r]


def transposed_times(a: np.ndarray, b: np.ndarray, left: np.ndarray, out: np.ndarray) -> None:
    """As the plain one."""
    r = left.shape[1]
    if r > WIDE:
        plain.transposed_times(a, b, left, out)
        return
    total = np.zeros((1 if r == 1 else WIDE, a.shape[1]), a.dtype)
    if r == 1:
        _transposed_times_1(a, b, left[:, 0].copy(), total[0])
    else:
        _transposed_times_4(a, b, _rows(left), total)
    out[...] = total[:r].T


def add_product(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """As the plain one."""
    r = left.shape[1]
    if r > WIDE:
        gemm = sgemm if out.dtype == np.float32 else dgemm  # columns first: (L R^T)^T = R L^T
        gemm(1, right.T, left.T, beta=1, c=out.T, trans_a=True, overwrite_c=True)
    elif r == 1:
        _add_product_1(left[:, 0].copy(), right[:, 0].copy(), out)
    else:
        _add_product_4(_rows(left), _rows(right), out)


def _rows(factor):
    """The factor's columns as WIDE rows, the last ones zeros."""
    rows = np.zeros((WIDE, len(factor)), factor.dtype)
    rows[: factor.shape[1]] = factor.T
    return rows


@compiled(*(f"void({t}[:,::1], {t}[:,::1], {t}[::1], {t}[:])" for t in _NUMBERS), fastmath=ORDER)
def _times_1(a, b, right, out):
    for i in range(len(a)):
        row, other, total = a[i], b[i], a.dtype.type(0)
        for j in range(len(row)):
            total += (row[j] - other[j]) * right[j]
        out[i] = total


@compiled(*(f"void({', '.join([f'{t}[:,::1]'] * 4)})" for t in _NUMBERS), fastmath=ORDER)
def _times_4(a, b, right, out):
    right_0, right_1, right_2, right_3 = right[0], right[1], right[2], right[3]
    zero = a.dtype.type(0)
    for i in range(0, len(a), 2):  # the factor is read once for two rows; a last one counts twice
        k = min(i + 1, len(a) - 1)
        a_0, b_0, a_1, b_1 = a[i], b[i], a[k], b[k]
        s_0, s_1, s_2, s_3 = zero, zero, zero, zero
        t_0, t_1, t_2, t_3 = zero, zero, zero, zero
        for j in range(len(a_0)):
            d, e = a_0[j] - b_0[j], a_1[j] - b_1[j]
            s_0 += d * right_0[j]
            s_1 += d * right_1[j]
            s_2 += d * right_2[j]
            s_3 += d * right_3[j]
            t_0 += e * right_0[j]
            t_1 += e * right_1[j]
            t_2 += e * right_2[j]
            t_3 += e * right_3[j]
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = s_0, s_1, s_2, s_3
        out[k, 0], out[k, 1], out[k, 2], out[k, 3] = t_0, t_1, t_2, t_3


@compiled(*(f"void({t}[:,::1], {t}[:,::1], {t}[::1], {t}[::1])" for t in _NUMBERS), fastmath=ORDER)
def _transposed_times_1(a, b, left, out):
    whole = len(a) // 4 * 4
    for i in range(0, whole, 4):  # the totals are read and written once for four rows
        a_0, a_1, a_2, a_3 = a[i], a[i + 1], a[i + 2], a[i + 3]
        b_0, b_1, b_2, b_3 = b[i], b[i + 1], b[i + 2], b[i + 3]
        w_0, w_1, w_2, w_3 = left[i], left[i + 1], left[i + 2], left[i + 3]
        for j in range(len(out)):
            upper = (a_0[j] - b_0[j]) * w_0 + (a_1[j] - b_1[j]) * w_1
            out[j] += upper + (a_2[j] - b_2[j]) * w_2 + (a_3[j] - b_3[j]) * w_3
    for i in range(whole, len(a)):
        row, other, weight = a[i], b[i], left[i]
        for j in range(len(out)):
            out[j] += (row[j] - other[j]) * weight


@compiled(*(f"void({', '.join([f'{t}[:,::1]'] * 4)})" for t in _NUMBERS), fastmath=ORDER)
def _transposed_times_4(a, b, left, out):
    whole = len(a) // 4 * 4
    for i in range(0, whole, 4):
        a_0, a_1, a_2, a_3 = a[i], a[i + 1], a[i + 2], a[i + 3]
        b_0, b_1, b_2, b_3 = b[i], b[i + 1], b[i + 2], b[i + 3]
        for k in range(0, 4, 2):  # four columns at once are too many pointers for LLVM to vectorise
            total, other, v, w = out[k], out[k + 1], left[k], left[k + 1]
            v_0, v_1, v_2, v_3 = v[i], v[i + 1], v[i + 2], v[i + 3]
            w_0, w_1, w_2, w_3 = w[i], w[i + 1], w[i + 2], w[i + 3]
            for j in range(len(total)):
                d_0, d_1 = a_0[j] - b_0[j], a_1[j] - b_1[j]
                d_2, d_3 = a_2[j] - b_2[j], a_3[j] - b_3[j]
                total[j] += d_0 * v_0 + d_1 * v_1 + d_2 * v_2 + d_3 * v_3
                other[j] += d_0 * w_0 + d_1 * w_1 + d_2 * w_2 + d_3 * w_3
    for i in range(whole, len(a)):
        row, other = a[i], b[i]
        for k in range(4):
            total, weight = out[k], left[k, i]
            for j in range(len(total)):
                total[j] += (row[j] - other[j]) * weight


@compiled(*(f"void({t}[::1], {t}[::1], {t}[:,::1])" for t in _NUMBERS), fastmath=ORDER)
def _add_product_1(left, right, out):
    for i in range(len(out)):
        row, weight = out[i], left[i]
        for j in range(len(row)):
            row[j] += weight * right[j]


@compiled(*(f"void({', '.join([f'{t}[:,::1]'] * 3)})" for t in _NUMBERS), fastmath=ORDER)
def _add_product_4(left, right, out):
    right_0, right_1, right_2, right_3 = right[0], right[1], right[2], right[3]
    for i in range(len(out)):
        row = out[i]
        w_0, w_1, w_2, w_3 = left[0, i], left[1, i], left[2, i], left[3, i]
        for j in range(len(row)):
            upper = w_0 * right_0[j] + w_1 * right_1[j]
            row[j] += upper + w_2 * right_2[j] + w_3 * right_3[j]
