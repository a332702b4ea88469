"""Step rules: their recursions in closed form, and known rounds on mushrooms."""

from pathlib import Path

import numpy as np
import pytest
from known_rounds import rounds_to

from mpi_lowrank import config
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.rounds.state import State
from mpi_lowrank.steps import steps
from mpi_lowrank.steps.momentum import HeavyBall, Nesterov
from mpi_lowrank.steps.plain import Plain

BETA, GAMMA = 0.6, 0.3
CURVATURES = np.array([1.0, 0.2, 0.05])


def positions(kind, rounds=30, **options):
    """(x, model) after each round on a quadratic whose gradient is CURVATURES * x."""
    x, state = np.ones(3), State(1, float)
    step = kind(x, GAMMA, state, [x.shape], **options)
    for _ in range(rounds):
        step(GAMMA * CURVATURES * x)
        yield x.copy(), step.model.copy()


def test_heavy_ball_is_polyak_s_recursion_in_x_alone():
    before, x = np.ones(3), np.ones(3)
    for moved, model in positions(HeavyBall, beta=BETA):
        before, x = x, x - GAMMA * CURVATURES * x + BETA * (x - before)
        np.testing.assert_allclose(moved, x, rtol=1e-13)
        np.testing.assert_array_equal(model, moved)


def test_nesterov_takes_gradients_beyond_the_model():
    model, x = np.ones(3), np.ones(3)
    for moved, evaluated in positions(Nesterov, beta=BETA):
        following = x - GAMMA * CURVATURES * x
        model, x = following, following + BETA * (following - model)
        np.testing.assert_allclose(evaluated, model, rtol=1e-13)
        np.testing.assert_allclose(moved, x, rtol=1e-13)


@pytest.mark.parametrize("kind", [HeavyBall, Nesterov])
def test_without_momentum_it_is_the_plain_step(kind):
    for (x, model), (plain, _) in zip(positions(kind, beta=0.0), positions(Plain), strict=True):
        np.testing.assert_array_equal(x, plain)
        np.testing.assert_array_equal(model, plain)


@pytest.mark.parametrize("beta", [-0.1, 1.0])
@pytest.mark.parametrize("name", ["heavy_ball", "nesterov"])
def test_an_impossible_momentum_is_refused(name, beta):
    with pytest.raises(OptionError, match="from 0 to below 1"):
        steps[name].check(steps[name].filled({"beta": beta}))


CASE = """
workers = 20
rounds = 500
seed = {seed}
problem = {{ name = "logistic", regularizer = "nonconvex", lambda = 0.1 }}
[[cases]]
{method}
step = {step}
{size}
"""


@pytest.mark.parametrize(("seed", "rounds"), list(enumerate([48, 64, 53, 104, 53])))
def test_rounds_of_nesterov_s_gradient_descent_on_mushrooms(seed, rounds):
    case = {"method": 'method = "GD"', "size": 'stepsize = "3/L"', "seed": seed}
    (found,) = rounds_to([1e-6], CASE, step='{ name = "nesterov", beta = 0.9 }', **case)
    assert abs(found - rounds) <= 1


@pytest.mark.parametrize(("beta", "rounds"), [(0.1, [129, 285, 438]), (0.5, [154, 309, 389])])
def test_rounds_of_ef21_hb_on_mushrooms(beta, rounds):
    """EF21 with heavy ball, Top-2, gamma = (1 - beta) 256 times the theory's."""
    case = {
        "method": 'method = "EF21"\ncompressor = "topk:k=2"',
        "size": f"multiple = {256 * (1 - beta)}",
        "step": f'{{ name = "heavy_ball", beta = {beta} }}',
        "seed": 0,
    }
    found = rounds_to([1e-2, 1e-4, 1e-6], CASE, **case)
    np.testing.assert_allclose(found, rounds, atol=2)


def test_a_step_that_nobody_knows_is_refused_with_the_nearest():
    text = CASE.format(method='method = "GD"', size="multiple = 1", seed=0, step='"nestrov"')
    with pytest.raises(UserError, match=r"step = nestrov.*nesterov"):
        config.parse(text, Path("some.toml"))
