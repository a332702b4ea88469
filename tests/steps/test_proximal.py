"""The proximal step of l1: known minima, exact zeros, and what is recorded of it."""

import numpy as np
import pytest
from dense_reference import Logistic
from known_rounds import carried_out, measured

from mpi_lowrank.errors import OptionError
from mpi_lowrank.rounds.state import State
from mpi_lowrank.steps import steps
from mpi_lowrank.steps.plain import Plain
from mpi_lowrank.steps.proximal import ProxL1

CASE = """
workers = 20
rounds = {rounds}
problem = {{ name = "logistic", regularizer = "l2", lambda = 1e-2 }}
[[cases]]
method = {method}
step = {{ name = "prox_l1", l1 = {l1} }}
{compressor}
stepsize = "{size}/L"
"""
GD = {"method": '"GD"', "compressor": "", "size": 8}
EF21 = {"method": '"EF21"', "compressor": 'compressor = "topk:k=4"', "size": 8}


def made(kind, x, gamma, **options):
    return kind(x, gamma, State(1, float), [x.shape], **options)


def test_it_finds_the_minimum_of_a_quadratic_with_l1_in_closed_form():
    curvatures, centres, l1 = np.array([1.0, 0.5, 2.0, 1.0]), np.array([3.0, -0.1, -1, 0.05]), 0.2
    x = np.ones(4)
    step = made(ProxL1, x, 0.4, l1=l1)
    for _ in range(200):
        step(0.4 * curvatures * (x - centres))
    expected = np.sign(centres) * np.maximum(abs(centres) - l1 / curvatures, 0)
    np.testing.assert_allclose(x, expected, atol=1e-14)
    assert (x == 0).tolist() == [False, True, False, True]
    slope = step.least_slope(x, curvatures * (x - centres))
    np.testing.assert_allclose(slope, 0, atol=1e-13)
    assert step.penalty(x) == pytest.approx(l1 * abs(expected).sum())


def test_the_least_slope_is_the_subgradient_nearest_to_zero():
    step = made(ProxL1, np.zeros(4), 1.0, l1=0.5)
    x, gradient = np.array([1.0, -1.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.75, -0.25])
    np.testing.assert_array_equal(step.least_slope(x, gradient), [1.5, 0.5, 0.25, 0])


def test_without_l1_it_is_the_plain_step():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(5)
    other = x.copy()
    prox, plain = made(ProxL1, x, 0.3, l1=0.0), made(Plain, other, 0.3)
    for _ in range(10):
        moved = rng.standard_normal(5)
        prox(moved.copy())
        plain(moved.copy())
        np.testing.assert_array_equal(x, other)


def test_an_impossible_l1_is_refused():
    with pytest.raises(OptionError, match="a number from 0"):
        steps["prox_l1"].check(steps["prox_l1"].filled({"l1": -1.0}))


@pytest.mark.parametrize(("given", "rounds"), [(GD, 300), (EF21, 700)])
def test_ista_and_ef21_prox_reach_the_same_sparse_minimum_on_mushrooms(given, rounds):
    for t, case in carried_out(CASE, rounds=rounds, l1=0.01, **given):
        last = measured(case, t) if t in (0, rounds) else None
    x, problem = case.method.x, Logistic(20, regularizer="l2", strength=1e-2)
    assert last.grad_norm_sq < 1e-10 and 10 < np.count_nonzero(x) < 60
    assert last.loss == pytest.approx(problem.loss(x) + 0.01 * abs(x).sum(), rel=1e-12)
    gradient = problem.gradients(x).mean(axis=0)
    assert np.abs(gradient[x == 0]).max() <= 0.01
    np.testing.assert_allclose(gradient[x != 0], -0.01 * np.sign(x[x != 0]), atol=1e-5)
