"""Leading singular vectors by either kernels, against numpy.linalg.svd."""

from importlib import import_module

import numpy as np
import pytest

RNG = np.random.default_rng(4)
SHAPES = [(7, 16), (16, 7), (1, 5), (5, 1), (1, 1), (10, 12), (33, 40)]


@pytest.fixture(scope="module", params=["plain", "compiled"])
def kernels(request):
    if request.param == "compiled":
        pytest.importorskip("numba")
    return import_module(f"mpi_lowrank.kernels.{request.param}.singular")


def matrices(m, c):
    """Gaussian, of small integers, orthonormal, nearly tied, of every size, of one entry, zero."""
    normal = RNG.standard_normal((20, m, c))
    u, _, vt = np.linalg.svd(normal, full_matrices=False)
    tied = np.ones((20, min(m, c)))
    tied[:, 1:] -= 10.0 ** -np.linspace(1, 17, 20)[:, np.newaxis]
    sizes = 10.0 ** RNG.uniform(-150, 150, (20, 1, 1))
    one = np.zeros((2, m, c))
    one[0, -1, -1] = -3
    kinds = normal, np.round(normal), u @ vt, (u * tied[:, np.newaxis]) @ vt, normal * sizes, one
    return np.concatenate(kinds)


def leading(kernels, x):
    left, right = np.full(x.shape[:2], np.nan), np.full((len(x), x.shape[2]), np.nan)
    kernels.leading(np.ascontiguousarray(x), left, right)
    return left, right


@pytest.mark.parametrize(("m", "c"), SHAPES)
def test_nothing_is_nearer_but_for_round_off(kernels, m, c):
    x = matrices(m, c)
    left, right = leading(kernels, x)
    sizes = np.linalg.norm(x, axis=(1, 2))
    sizes[sizes == 0], eps = 1, np.finfo(float).eps
    scaled = x / sizes[:, np.newaxis, np.newaxis]
    values = np.linalg.svd(scaled, compute_uv=False)
    error = scaled - left[:, :, np.newaxis] * (right / sizes[:, np.newaxis])[:, np.newaxis]
    least = np.sqrt((values[:, 1:] ** 2).sum(axis=1))
    assert (np.linalg.norm(error, axis=(1, 2)) - least <= (m + c) * eps).all()
    assert abs(np.linalg.norm(left, axis=1) - 1).max() <= (m + c) * eps
    lengths = np.linalg.norm(right / sizes[:, np.newaxis], axis=1)
    assert abs(lengths - values[:, 0]).max() <= (m + c) * eps


@pytest.mark.parametrize(("m", "c"), SHAPES[:2])
def test_vectors_are_those_of_lapack_where_no_value_is_near_the_largest(kernels, m, c):
    x = RNG.standard_normal((20, m, c))
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    left, right = leading(kernels, x)
    signs = np.sign((left * u[:, :, 0]).sum(axis=1))[:, np.newaxis]
    bound = (m + c) * np.finfo(float).eps * (s[:, :1] / (s[:, :1] - s[:, 1:2]))
    assert (abs(signs * left - u[:, :, 0]) <= bound).all()
    assert (abs(signs * right - s[:, :1] * vt[:, 0]) <= s[:, :1] * bound).all()


def test_a_matrix_s_vectors_do_not_depend_on_the_others_and_have_one_sign():
    pytest.importorskip("numba")
    kernels = import_module("mpi_lowrank.kernels.compiled.singular")
    x = matrices(7, 16)
    left, right = leading(kernels, x)
    for some in (slice(0, 1), slice(5, 40), slice(97, 98)):
        alone = leading(kernels, x[some])
        np.testing.assert_array_equal(alone[0], left[some])
        np.testing.assert_array_equal(alone[1], right[some])
    assert (left[np.arange(len(x)), abs(left).argmax(axis=1)] > 0).all()
    np.testing.assert_array_equal(leading(kernels, -x)[0], left)
