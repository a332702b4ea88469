"""The linear autoencoder against principal components."""

from dataclasses import replace

import numpy as np
import pytest
from asked import model

from mpi_lowrank.datasets import load
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.problems import problems
from mpi_lowrank.run.validity import gradient_errors

DTYPES = [np.float32, np.float64]


def make(shards, dtype=np.float64, **options):
    return problems["autoencoder"](shards, np.dtype(dtype), **options)


def start(problem, dtype=np.float64):
    x = np.random.default_rng(0).standard_normal(problem.d).astype(dtype)
    problem.scale_start(x)
    return x


def gradients(problem, x):
    out = np.zeros((len(problem.samples), problem.d), x.dtype)
    problem.gradients(x, out)
    return out


def losses(problem, x):
    out = np.zeros(len(problem.samples))
    problem.losses(x, out)
    return out


def second_moment(shards):
    return np.mean([A.T @ A / len(A) for A, _ in shards.workers], axis=0)


def test_the_least_loss_is_that_of_the_principal_components(digits):
    problem = make(digits, code=5)
    values, basis = np.linalg.eigh(second_moment(digits))
    best = basis[:, -5:]
    x = np.concatenate([best.ravel(), best.T.ravel()])
    assert losses(problem, x).mean() == pytest.approx(values[:-5].sum(), rel=1e-12)
    slopes = gradients(problem, x)
    assert np.linalg.norm(slopes.mean(axis=0)) < 1e-11 * np.linalg.norm(slopes, axis=1).min()
    other = np.concatenate([basis[:, -6:-1].ravel(), basis[:, -6:-1].T.ravel()])
    assert losses(problem, other).mean() > values[:-5].sum()


def test_what_is_unexplained_is_the_share_of_the_rows_and_not_of_the_padding(digits):
    problem = make(replace(digits, longest=600), code=3)
    x, out = start(problem), np.full((4, 1), np.nan)
    D, E = x[:192].reshape(64, 3), x[192:].reshape(3, 64)
    problem.measure(x, out)
    expected = [((A @ (D @ E).T - A) ** 2).sum() / (A**2).sum() for A, _ in digits.workers]
    np.testing.assert_allclose(out[:, 0], expected, rtol=1e-12)
    problem.measure(np.zeros(problem.d), out)
    np.testing.assert_allclose(out, 1, rtol=1e-14)


def test_nothing_is_unexplained_of_rows_of_zeros(digits):
    rows = [digits.workers[0]._replace(features=np.zeros((424, 64))), *digits.workers[1:]]
    problem, out = make(replace(digits, workers=rows)), np.full((4, 1), np.nan)
    problem.measure(start(problem), out)
    assert out[0] == 0 and (out[1:] > 0.5).all()


def test_it_has_two_matrices_and_no_constants_and_nothing_is_classified(digits, mean):
    problem, constants = make(digits, code=7), make(digits).smoothness(mean)
    assert [(b.name, b.shape) for b in problem.blocks] == [("D", (64, 7)), ("E", (7, 64))]
    assert np.isnan(constants.L) and np.isnan(constants.L_i).all() and len(constants.L_i) == 4
    assert np.isnan(problem.correct(start(problem))).all()


def test_the_singular_values_of_a_scaled_start_are_near_1(digits):
    problem = make(digits)
    for part in problem.parts(start(problem)):
        values = np.linalg.svd(part, compute_uv=False)
        assert len(values) == 16 and 0.4 < values.min() and values.max() < 1.6


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_agree_with_finite_differences(digits, dtype):
    problem = make(digits, dtype)
    assert gradient_errors(problem, start(problem, dtype), 4).max() <= 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_allocate_nothing(digits, gradient_peaks, dtype):
    problem = make(digits, dtype)
    # NumPy itself takes up to 8192 numbers at a time to spread an operand.
    peaks = gradient_peaks(problem, start(problem, dtype), 300)
    assert max(peaks) < 8192 * np.dtype(dtype).itemsize + 4000


def test_gradient_descent_finds_the_first_principal_component(digits):
    problem = make(digits, code=1)
    x, step = start(problem), 0.2 / np.linalg.eigvalsh(second_moment(digits))[-1]
    for _ in range(100):
        x -= step * gradients(problem, x).mean(axis=0)
    least = np.linalg.eigvalsh(second_moment(digits))[:-1].sum()
    assert least < losses(problem, x).mean() < 1.01 * least


def test_impossible_codes_and_sparse_rows_are_refused():
    assert [b.shape for b in model("autoencoder", load("digits"), code=1)] == [(64, 1), (1, 64)]
    with pytest.raises(OptionError, match="code"):
        model("autoencoder", load("digits"), code=0)
    with pytest.raises(UserError, match="mushrooms: expected dense rows"):
        model("autoencoder", load("mushrooms"))
