"""The quadratics against dense matrices: eigenvalues, and the minimiser in closed form."""

from functools import cache

import numpy as np
import pytest
from asked import model

from mpi_lowrank.datasets.local import LocalShards
from mpi_lowrank.errors import OptionError
from mpi_lowrank.problems import problems
from mpi_lowrank.run.validity import gradient_errors

DTYPES = [np.float32, np.float64]
NOISES = [0.0, 0.3, 5.0]
WORKERS, D = 6, 40

noises = pytest.mark.parametrize("noise", NOISES)


def make(noise, numbers=range(WORKERS), dtype=np.float64, **options):
    options = {"dimension": D, "lambda_": 1e-3, **options}
    shards = LocalShards(numbers, WORKERS, 5, [])
    return problems["quadratic"](shards, np.dtype(dtype), noise=noise, **options)


@cache
def matrices(noise):
    """A_i and b_i, as the paper's recipe has them."""
    drawn = np.random.default_rng([5, 1]).standard_normal((WORKERS, 2))
    nu = 1 + noise * drawn[:, 0]
    T = 2 * np.eye(D) - np.eye(D, k=1) - np.eye(D, k=-1)
    A = nu[:, np.newaxis, np.newaxis] / 4 * T
    b = np.outer(nu / 4 * (noise * drawn[:, 1] - 1), np.eye(D)[0])
    return A + (1e-3 - np.linalg.eigvalsh(A.mean(axis=0))[0]) * np.eye(D), b


def gradients(problem, x):
    out = np.zeros((len(problem.samples), problem.d), x.dtype)
    problem.gradients(x, out)
    return out


@noises
def test_gradients_losses_and_hessians_are_those_of_the_matrices(noise):
    problem, x = make(noise), np.random.default_rng(0).standard_normal(D)
    A, b = matrices(noise)
    losses, hessians = np.zeros(WORKERS), np.zeros((WORKERS, D, D))
    problem.losses(x, losses)
    problem.hessians(x, hessians)
    np.testing.assert_allclose(gradients(problem, x), A @ x - b, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(losses, x @ A @ x / 2 - b @ x, rtol=1e-11)
    np.testing.assert_allclose(hessians, A, rtol=1e-12, atol=1e-15)


@noises
def test_f_inf_is_the_value_at_the_minimiser(noise):
    A, b = (whole.mean(axis=0) for whole in matrices(noise))
    least = np.linalg.solve(A, b)
    assert make(noise).f_inf == pytest.approx(least @ A @ least / 2 - b @ least, rel=1e-11)
    assert make(noise, lambda_=0.0).f_inf is None and np.isnan(make(noise).correct(b)).all()


@noises
def test_constants_are_numpy_s_eigenvalues(noise, mean):
    constants = make(noise).smoothness(mean)
    A = matrices(noise)[0]
    own, whole = np.linalg.eigvalsh(A), np.linalg.eigvalsh(A.mean(axis=0))
    np.testing.assert_allclose(constants.L_i, abs(own).max(axis=1), rtol=1e-12)
    assert constants.L == pytest.approx(whole[-1], rel=1e-12)
    assert whole[0] == pytest.approx(1e-3, rel=1e-9)
    assert constants.mu == pytest.approx(max(0, own.min()), rel=1e-9)
    assert (constants.mu > 0) == (noise < 1)


@noises
def test_the_mean_gradient_is_0_at_the_minimiser(noise):
    A, b = matrices(noise)
    x = np.linalg.solve(A.mean(axis=0), b.mean(axis=0))
    slopes = gradients(make(noise), x)
    assert np.linalg.norm(slopes.mean(axis=0)) < 1e-12 * max(1, np.linalg.norm(x))
    assert (np.linalg.norm(slopes, axis=1) > 1e-3).all() == (noise > 0)


def test_heterogeneity_grows_with_the_noise():
    variances = []
    for noise in NOISES:
        A = matrices(noise)[0]
        spread = (A @ A).mean(axis=0) - A.mean(axis=0) @ A.mean(axis=0)
        variances.append(np.sqrt(max(0.0, np.linalg.eigvalsh(spread)[-1])))
    drawn = np.random.default_rng([5, 1]).standard_normal((WORKERS, 2))[:, 0]
    widest = np.cos(np.pi / (2 * (D + 1))) ** 2  # of T / 4
    expected = widest * np.std(drawn) * np.array(NOISES)
    np.testing.assert_allclose(variances, expected, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_worker_has_the_same_bits_wherever_it_lives(dtype, mean):
    together, x = make(0.8, dtype=dtype), np.ones(D, dtype)
    for w in range(WORKERS):
        alone = make(0.8, range(w, w + 1), dtype)
        assert gradients(alone, x).tobytes() == gradients(together, x)[w].tobytes()
        assert alone.smoothness(mean).L == together.smoothness(mean).L
        assert alone.smoothness(mean).mu == together.smoothness(mean).mu


@pytest.mark.parametrize("dtype", DTYPES)
@noises
def test_gradients_agree_with_finite_differences(noise, dtype):
    problem = make(noise, dtype=dtype)
    x = np.random.default_rng(0).standard_normal(D).astype(dtype)
    assert gradient_errors(problem, x, WORKERS).max() <= 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_allocate_nothing(dtype, gradient_peaks):
    problem = make(0.5, dtype=dtype, dimension=50_000)
    x = np.ones(problem.d, dtype)
    assert max(gradient_peaks(problem, x, 200)) < 8192 * 8 + 4000


def test_one_number_is_a_parabola():
    problem = make(0.0, dimension=1, lambda_=2.0)
    np.testing.assert_allclose(gradients(problem, np.array([3.0])), 2 * 3 + 0.25, rtol=1e-14)


@pytest.mark.parametrize(
    ("option", "value"), [("dimension", 0), ("noise", -0.1), ("noise", np.nan), ("lambda_", -1.0)]
)
def test_impossible_options_are_refused(option, value):
    with pytest.raises(OptionError, match=option.rstrip("_")):
        model("quadratic", None, **{option: value})
