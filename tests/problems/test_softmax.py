from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from mpi_lowrank.datasets.local import Rows
from mpi_lowrank.problems import problems


def make(shards, **options):
    return problems["softmax"](shards, np.dtype(np.float64), **options)


def start(problem):
    return np.random.default_rng(0).standard_normal(problem.d)


def gradients_of(problem, x):
    out = np.zeros((4, problem.d))
    problem.gradients(x, out)
    return out.reshape(4, 64, 10)


def hessian_vector(features, x, direction):
    """By the formula a_j a_j^T (x) (diag p - p p^T), averaged over rows."""
    p = softmax(features @ x, axis=1)
    moved = features @ direction
    return features.T @ (p * moved - p * (p * moved).sum(axis=1, keepdims=True)) / len(features)


def test_gradients_equal_the_dense_formula(digits):
    problem = make(digits, lambda_=0.3)
    x = start(problem)
    for gradient, (features, labels) in zip(gradients_of(problem, x), digits.workers, strict=True):
        W = x.reshape(64, 10)
        residual = softmax(features @ W, axis=1) - np.eye(10)[labels]
        expected = features.T @ residual / len(labels) + 0.3 * W
        np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-14)


def test_without_lambda_a_gradient_has_rank_classes_less_one_and_rows_that_sum_to_0(digits):
    problem = make(digits, lambda_=0.0)
    for gradient in gradients_of(problem, start(problem)):
        assert abs(gradient.sum(axis=1)).max() < 1e-14 * abs(gradient).max() * 64
        assert np.linalg.matrix_rank(gradient) == 9


def test_the_rank_is_at_most_the_features(digits):
    narrow = [Rows(rows.features[:, 26:30], rows.labels) for rows in digits.workers]
    test = Rows(digits.test.features[:, 26:30], digits.test.labels)
    problem = make(replace(digits, workers=narrow, test=test))
    out = np.zeros((4, 40))
    problem.gradients(start(problem), out)
    assert problem.blocks[0].shape == (4, 10)
    assert [np.linalg.matrix_rank(g) for g in out.reshape(4, 4, 10)] == [4] * 4


def test_smoothness_equals_dense_eigenvalues(digits, mean):
    constants = make(digits, lambda_=0.5).smoothness(mean)
    grams = [rows.features.T @ rows.features / (2 * len(rows.labels)) for rows in digits.workers]
    np.testing.assert_allclose(constants.L_i, np.linalg.eigvalsh(grams)[:, -1] + 0.5, rtol=1e-12)
    top = np.linalg.eigvalsh(np.mean(grams, axis=0))[-1] + 0.5
    assert constants.L == pytest.approx(top, rel=1e-12) and constants.mu == 0.5


def test_curvature_stays_below_the_constant_and_meets_it_where_two_classes_share_all(digits, mean):
    features = digits.workers[0].features
    L = make(digits, lambda_=0.0).smoothness(mean).L_i[0]
    top = np.linalg.svd(features)[2][0]
    direction = np.outer(top, np.eye(10)[0] - np.eye(10)[1]) / np.sqrt(2)
    rng = np.random.default_rng(0)
    for _ in range(5):
        x = rng.standard_normal((64, 10))
        assert np.vdot(direction, hessian_vector(features, x, direction)) < L
    x = np.outer(top * np.sign(top.sum()), np.where(np.arange(10) < 2, 0, -100))
    curvature = np.vdot(direction, hessian_vector(features, x, direction))
    assert curvature == pytest.approx(L, rel=1e-9)


def test_gradient_descent_learns_the_digits(digits, mean):
    problem = make(digits)
    step, x, out = 1 / problem.smoothness(mean).L, np.zeros(640), np.zeros((4, 640))
    for _ in range(300):
        problem.gradients(x, out)
        x -= step * out.mean(axis=0)
    train, test = problem.correct(x)
    assert train > 0.9 * 1697 and test > 90
