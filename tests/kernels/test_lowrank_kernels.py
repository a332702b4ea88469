"""Both files of the low-rank family against sums in a wider type."""

from importlib import import_module

import numpy as np
import pytest

SHAPES = [(7, 5, 1), (8, 33, 2), (9, 6, 3), (70, 1030, 4), (6, 9, 5), (1, 1, 1)]


@pytest.fixture(params=["plain", "compiled"])
def kernels(request):
    if request.param == "compiled":
        pytest.importorskip("numba")
    return import_module(f"mpi_lowrank.kernels.{request.param}.lowrank")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "c", "r"), SHAPES)
def test_products_with_a_difference_err_within_their_bounds(kernels, m, c, r, dtype):
    draw = np.random.default_rng(m).standard_normal
    a, b, g = (draw((m, c)).astype(dtype) for _ in range(3))
    left, right = draw((m, r)).astype(dtype), draw((c, r)).astype(dtype)
    eps, wide = np.finfo(dtype).eps, np.longdouble
    difference = (a - b).astype(wide)
    out = np.full((m, r), np.nan, dtype)
    kernels.times(a, b, right, out)
    error = np.abs(out - difference @ right)
    assert (error <= c * eps * (np.abs(difference) @ np.abs(right))).all()
    out = np.full((c, r), np.nan, dtype)
    kernels.transposed_times(a, b, left, out)
    error = np.abs(out - difference.T @ left)
    assert (error <= m * eps * (np.abs(difference).T @ np.abs(left))).all()
    before = g.astype(wide)
    kernels.add_product(left, right, g)
    error = np.abs(g - (before + left.astype(wide) @ right.T))
    assert (error <= (r + 1) * eps * (np.abs(before) + np.abs(left) @ np.abs(right).T)).all()


def test_what_is_not_finite_stays_so(kernels):
    a, b, ones = np.ones((5, 6)), np.zeros((5, 6)), np.ones((6, 2))
    for value in (np.nan, np.inf):
        a[3, 2] = value
        out, across = np.empty((5, 2)), np.empty((6, 2))
        with np.errstate(invalid="ignore"):
            kernels.times(a, b, ones, out)
            kernels.transposed_times(a, b, ones[:5].copy(), across)
        assert np.flatnonzero(~np.isfinite(out).all(axis=1)).tolist() == [3]
        assert np.flatnonzero(~np.isfinite(across).all(axis=1)).tolist() == [2]
