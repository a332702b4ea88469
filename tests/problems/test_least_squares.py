"""Least squares against NumPy's: eigenvalues, and the minimiser in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from asked import model
from scipy.sparse import csr_array

from mpi_lowrank.datasets import Dataset, load
from mpi_lowrank.datasets.local import LocalShards, Rows
from mpi_lowrank.errors import OptionError
from mpi_lowrank.problems import least_squares, problems
from mpi_lowrank.run.validity import gradient_errors

SIZES, D = (30, 41, 24), 7
DTYPES = [np.float32, np.float64]
LAMBDAS = [0.0, 0.5]


@pytest.fixture(scope="module")
def shards():
    rng = np.random.default_rng(0)
    rows = [Rows(rng.standard_normal((m, D)), rng.standard_normal(m)) for m in (*SIZES, 5)]
    return LocalShards(range(3), 3, 0, rows[:-1], rows[-1], 50, 95, 5)


def make(shards, dtype=np.float64, **options):
    return problems["least_squares"](shards, np.dtype(dtype), **options)


def sparse(shards):
    return replace(shards, workers=[Rows(csr_array(A), b) for A, b in shards.workers])


def gradients(problem, x):
    out = np.zeros((len(problem.samples), problem.d), x.dtype)
    problem.gradients(x, out)
    return out


def second_derivatives(shards, strength):
    return np.array([2 * A.T @ A / len(b) + strength * np.eye(D) for A, b in shards.workers])


@pytest.mark.parametrize("strength", LAMBDAS)
def test_the_mean_gradient_is_0_at_the_minimiser_of_the_closed_form(shards, strength):
    pull = np.mean([2 * A.T @ b / len(b) for A, b in shards.workers], axis=0)
    x = np.linalg.solve(second_derivatives(shards, strength).mean(axis=0), pull)
    slopes = gradients(make(shards, lambda_=strength), x)
    np.testing.assert_allclose(slopes.mean(axis=0), 0, atol=1e-14)
    assert np.linalg.norm(slopes, axis=1).min() > 0.1


@pytest.mark.parametrize("strength", LAMBDAS)
def test_constants_are_numpy_s_eigenvalues(shards, mean, strength):
    constants = make(sparse(shards), lambda_=strength).smoothness(mean)
    H = second_derivatives(shards, strength)
    values = np.linalg.eigvalsh(H)
    np.testing.assert_allclose(constants.L_i, values[:, -1], rtol=1e-12)
    assert constants.L == pytest.approx(np.linalg.eigvalsh(H.mean(axis=0))[-1], rel=1e-12)
    assert constants.mu == pytest.approx(values[:, 0].min(), rel=1e-10)


def test_mu_is_lambda_where_a_shard_leaves_a_direction_free(shards, mean):
    few = [Rows(A[:6], b[:6]) for A, b in shards.workers]
    assert make(replace(shards, workers=few), lambda_=0.5).smoothness(mean).mu == 0.5
    blind = [Rows(A * (np.arange(D) > 0), b) for A, b in shards.workers]
    assert make(replace(shards, workers=blind), lambda_=0.5).smoothness(mean).mu == 0.5


def test_mu_is_not_looked_for_in_wide_rows(shards, mean, monkeypatch):
    assert least_squares.WIDEST == 2000
    monkeypatch.setattr(least_squares, "WIDEST", D)
    assert make(shards).smoothness(mean).mu > 0
    monkeypatch.setattr(least_squares, "WIDEST", D - 1)
    assert make(shards).smoothness(mean).mu == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_dense_and_sparse_rows_are_the_same_to_the_bit(shards, dtype):
    x = np.random.default_rng(1).standard_normal(D).astype(dtype)
    found = [gradients(make(kind, dtype), x).tobytes() for kind in (shards, sparse(shards))]
    assert found[0] == found[1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("data", ["mushrooms", "digits"])
def test_class_numbers_are_targets_and_nothing_is_classified(data, dtype):
    data = load(data)
    rows = [Rows(data.features[w::2], data.labels[w::2]) for w in range(2)]
    longest = max(len(row.labels) for row in rows)
    problem = make(LocalShards(range(2), 2, 0, rows, rows[0], longest, 1, 1, 2), dtype)
    x = np.random.default_rng(1).standard_normal(problem.d).astype(dtype)
    assert gradient_errors(problem, x, 2).max() <= 1
    assert np.isnan(problem.correct(x)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_allocate_nothing(dtype, gradient_peaks):
    data = load("mushrooms")
    rows = [Rows(data.features, data.labels)]
    problem = make(LocalShards(range(1), 1, 0, rows, rows[0], 8124, 1, 1, 2), dtype)
    assert max(gradient_peaks(problem, np.ones(112, dtype), 2000)) < 8192 * 8 + 4000


def test_a_negative_lambda_is_refused():
    data = Dataset("mine", csr_array(np.eye(2)), np.array([0.5, 1.5]), "")
    assert model("least_squares", data)[0].shape == (2,)
    with pytest.raises(OptionError, match="lambda"):
        model("least_squares", data, lambda_=-0.1)
