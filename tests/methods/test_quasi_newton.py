"""L-BFGS against SciPy left to itself, and its known rounds on mushrooms."""

import numpy as np
import pytest
from dense_reference import Logistic
from known_rounds import carried_out, measured, rounds_to
from scipy.optimize import minimize

CASE = """
workers = 20
rounds = {rounds}
seed = {seed}
problem = {{ name = "logistic", {problem} }}
[[cases]]
method = "L-BFGS"
"""
NONCONVEX, CONVEX = "lambda = 0.1", 'regularizer = "l2", lambda = 1e-3'


def test_every_round_evaluates_the_point_that_scipy_would():
    problem, asked = Logistic(20), []

    def evaluate(x):
        asked.append(x.copy())
        return problem.loss(x), problem.gradients(x).mean(axis=0)

    start = np.random.default_rng(0).standard_normal(112)
    settings = {"maxcor": 20, "ftol": 0, "gtol": 0, "maxfun": 25}
    minimize(evaluate, start, jac=True, method="L-BFGS-B", options=settings)
    for t, made in carried_out(CASE, rounds=20, seed=0, problem=NONCONVEX):
        np.testing.assert_allclose(made.method.x, asked[t], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("seed", "rounds"), list(enumerate([30, 37, 39, 50, 35])))
def test_rounds_on_mushrooms(seed, rounds):
    (found,) = rounds_to([1e-6], CASE, rounds=80, seed=seed, problem=NONCONVEX)
    assert abs(found - rounds) <= 3


def test_it_finds_the_known_minimum_and_stays_there():
    for t, made in carried_out(CASE, rounds=120, seed=0, problem=CONVEX):
        last = measured(made, t)
    assert abs(last.loss - 0.050305345243423255) < 1e-14 and last.grad_norm_sq < 1e-14


def test_what_is_sent_is_counted_with_the_loss_beside_the_gradient():
    for _, made in carried_out(CASE, rounds=5, seed=0, problem=NONCONVEX):
        sent = made.exchange.uplink_bytes
    assert sent == 5 * 113 * 8
