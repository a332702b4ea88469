"""Products with rows of zeros and ones by their parts, against sums in a wider type."""

from importlib import import_module

import numpy as np
import pytest
from scipy.sparse import csr_array

from mpi_lowrank.datasets.local import LocalShards, Rows
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.onehot import OneHotRows, Parts

pytest.importorskip("numba")
RNG = np.random.default_rng(3)


def categorical(rows):
    """Rows of seven attributes with four values each, twelve kinds of them."""
    kinds = RNG.integers(0, 4, (12, 7))[RNG.integers(0, 12, rows)]
    return np.eye(4, dtype=bool)[kinds].reshape(rows, 28)


def scattered(rows):
    """Rows of any length, none of whose parts repeat much; one is empty."""
    dense = RNG.random((rows, 28)) < 0.5
    dense[2] = False
    return dense


SHARDS = [categorical(300), scattered(40), categorical(1), scattered(300)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_err_by_a_few_units_and_do_not_depend_on_other_workers(dtype):
    kernels = import_module("mpi_lowrank.kernels.compiled.rows")
    sparse, longest = [csr_array(dense) for dense in SHARDS], max(map(len, SHARDS))
    rows = OneHotRows(sparse, longest, dtype, kernels)
    x, r = RNG.standard_normal((4, 28)).astype(dtype), RNG.standard_normal((4, longest))
    r, margins = r.astype(dtype), np.full((4, longest), np.nan, dtype)
    sums, eps = np.full((4, 28), np.nan, dtype), np.finfo(dtype).eps
    rows.times(x, margins)
    rows.transposed_times(r, sums)
    for w, dense in enumerate(SHARDS):
        wide, n = dense.astype(np.longdouble), len(dense)
        assert (abs(margins[w, :n] - wide @ x[w]) <= 28 * eps * (wide @ abs(x[w]))).all()
        assert not margins[w, n:].any()
        bound = n * eps * (wide.T @ abs(r[w, :n]))
        assert (abs(sums[w] - wide.T @ r[w, :n]) <= bound).all()
        alone = OneHotRows(sparse[w : w + 1], longest, dtype, kernels)
        one, its = np.empty((1, longest), dtype), np.empty((1, 28), dtype)
        alone.times(x[w], one)
        alone.transposed_times(r[w : w + 1], its)
        np.testing.assert_array_equal(one[0], margins[w])
        np.testing.assert_array_equal(its[0], sums[w])


def test_repeated_parts_are_few_and_others_are_columns():
    repeated, columns = Parts.of(csr_array(SHARDS[0])), Parts.of(csr_array(SHARDS[1]))
    assert len(repeated.codes) == 2 * 300 and len(repeated.distinct) <= 24
    assert len(columns.codes) == SHARDS[1].sum() and len(columns.distinct) <= 28


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_errs_by_four_units_and_bears_any_number(dtype):
    t = np.concatenate([RNG.standard_normal(1000) * 20, [0, -1e4, 1e4]]).astype(dtype)
    expected = 1 / (1 + np.exp(-t.astype(np.longdouble)))
    import_module("mpi_lowrank.kernels.compiled.rows").sigmoid(t)
    tiny = np.finfo(dtype).tiny
    assert (abs(t - expected) <= 4 * np.finfo(dtype).eps * expected + tiny).all()


@pytest.mark.parametrize("name", ["logistic", "least_squares"])
def test_gradients_by_either_kernels_agree(name, monkeypatch):
    shards = [Rows(csr_array(d), RNG.choice([-1.0, 1.0], len(d))) for d in SHARDS]
    local = LocalShards(range(4), 4, 0, shards, None, 300, 641, 0, 2)
    x, told = RNG.standard_normal(28), []
    for kernels in ("numpy", "numba"):
        monkeypatch.setenv("MPI_LOWRANK_KERNELS", kernels)
        problem, gradients, losses = (
            problems[name](local, np.float64),
            np.empty((4, 28)),
            np.empty(4),
        )
        problem.gradients(x, gradients)
        problem.losses(x, losses)
        told.append((gradients, losses))
    np.testing.assert_allclose(told[1][0], told[0][0], rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(told[1][1], told[0][1], rtol=1e-13)
