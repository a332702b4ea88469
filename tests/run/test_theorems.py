"""Lyapunov functions and bounds of theorems, written anew from the papers in dense NumPy."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dense_reference import Logistic
from quadratic_reference import Quadratics
from theory_run import HEAD, Run

from mpi_lowrank import config
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.problems.quadratic import Quadratics as Problem
from mpi_lowrank.run.assembly import ground
from mpi_lowrank.run.minimum import minimum

N, D, K = 3, 20, 5
MU = 0.2
ALPHA, OMEGA = K / D, D / K - 1
MEAN = OMEGA / N
"""The variance of the mean of the workers' messages."""
S = np.sqrt(1 - ALPHA)


def head(noise, **more):
    settings = "".join(f"{name} = {value}\n" for name, value in more.items())
    problem = f'{{ name = "quadratic", dimension = {D}, noise = {noise}, lambda = {MU} }}'
    return f"{HEAD}{settings}problem = {problem}\n"


def squares(rows):
    return (rows**2).sum(axis=-1).mean()


class Model:
    """What a theorem's formula is made of, at a row: `state` is the method's."""

    def __init__(self, problem, gamma, state, before, first):
        self.problem, self.gamma, self.state, self.first = problem, gamma, state, first
        self.x, self.before = state["x"], before["x"]
        self.now = problem.gradients(self.x)
        self.gap = problem.loss(self.x) - problem.loss(problem.minimum)

    def known(self, name="g_i"):
        """The g_i; in round 0 they are sent whole."""
        return self.now if self.first else self.state[name]


def of_ef21(m):
    theta, error = 1 - S, squares(m.known() - m.now)
    weighted = m.gamma / theta * (1 - ALPHA) * error
    return m.gap + weighted / 2, m.gap + weighted, theta / 2


def of_marina(m):
    p, error = 1 / (1 + OMEGA), 0.0
    if not m.first:
        old = m.problem.gradients(m.before)
        error = squares(m.state["g"] - old.mean(axis=0)) + MEAN * squares(m.now - old)
    weighted = m.gamma / p * (1 - p) * error
    return m.gap + weighted / 2, m.gap + weighted, p / 2


def of_diana(m):
    theta, h = 1 - np.sqrt(OMEGA / (1 + OMEGA)), m.known()
    falls = m.gap + m.gamma / (2 * theta) * MEAN * squares(h - m.now)
    least = m.problem.minimum
    spread = squares(h - m.problem.gradients(least))
    shrinks = squares(m.x - least) + 4 * MEAN * (1 + OMEGA) * m.gamma**2 * spread
    return falls, shrinks, 1 / (2 * (1 + OMEGA))


def of_ef_bv(m, share=0.3, nu=0.25):
    r, r_mean = ((1 - part) ** 2 + part**2 * omega for part, omega in ((share, OMEGA), (nu, MEAN)))
    theta = 1 - np.sqrt(r)
    weighted = m.gamma / theta * r_mean * squares(m.known() - m.now)
    return m.gap + weighted / 2, m.gap + weighted, theta / 2


def of_bc(m):
    theta, beta = 1 - S, (1 - ALPHA) / (1 - S)
    g_i, heavy = m.known(), (1 - ALPHA + 4 * beta / theta) / theta
    behind = squares(m.state["g"] - g_i.mean(axis=0))
    weighted = m.gamma * (heavy * squares(g_i - m.now) + S / theta * behind)
    a = 1 - ALPHA + 4 * beta
    rest = min(theta, a / heavy) / 2
    return m.gap + weighted, m.gap + 2 * weighted, rest


TOPK, RANDK = 'compressor = "topk:k=5,wire=float64"', 'compressor = "randk:k=5,scale=unbiased"'
BC = 'method = { name = "EF21-BC", downlink = "topk:k=5,wire=float64" }\ntopology = "server"\n'
BV = 'method = { name = "EF-BV", lambda = 0.3, nu = 0.25 }\n'
CASES = {
    "EF21": (of_ef21, 'method = "EF21"\nmultiple = 0.7\n' + TOPK, "every run"),
    "EF21-BC": (of_bc, BC + "multiple = 0.03\n" + TOPK, "every run"),
    "MARINA": (of_marina, 'method = "MARINA"\nmultiple = 0.7\n' + RANDK, "the mean over draws"),
    "EF-BV": (of_ef_bv, BV + "multiple = 0.7\n" + RANDK, "the mean over draws"),
    "DIANA": (of_diana, 'method = "DIANA"\nmultiple = 0.9\n' + RANDK, "the mean over draws"),
}


@pytest.mark.parametrize("name", CASES)
def test_lyapunov_functions_and_bounds_are_the_papers(name):
    formula, text, told = CASES[name]
    run, problem = Run(text, head(noise=0.3, dtype='"float64"')), Quadratics(N, D, 0.3, MU)
    gamma, states = float(run.made.method.stepsize), run.columns.states
    rows = [
        formula(Model(problem, gamma, state, before, number == 0))
        for number, (state, before) in enumerate(zip(states, states[:1] + states, strict=False))
    ]
    falls, shrinks, least = np.array(rows).T
    rounds = np.arange(len(rows))
    assert run.made.theory.theorems.linear.least == pytest.approx(least[0])
    for column, values in {
        "lyapunov": falls,
        "linear_lyapunov": shrinks,
        "linear_bound": shrinks[0] * (1 - np.minimum(gamma * MU, least)) ** rounds,
    }.items():
        np.testing.assert_allclose(run.columns[column], values, rtol=1e-9, err_msg=column)
    bound = 2 * falls[0] / (gamma * rounds[1:])
    np.testing.assert_allclose(run.columns["grad_bound"][1:], bound, rtol=1e-9)
    told_of = run.made.theory.attributes()
    assert (run.reasons, told_of["guarantee"], told_of["linear_guarantee"]) == ([], told, told)
    assert (run.columns["linear_lyapunov"] <= run.columns["linear_bound"]).all()


def test_a_mu_that_is_too_large_breaks_the_linear_rate(monkeypatch):
    known = Problem.smoothness
    longer = head(noise=0.0).replace("12", "60")
    assert Run('method = "GD"', longer).reasons == []
    monkeypatch.setattr(
        Problem, "smoothness", lambda self, mean: replace(known(self, mean), mu_f=3 * MU)
    )
    (reason,) = Run('method = "GD"', longer).reasons
    assert reason.startswith("the method's theorem of a linear rate does not hold: its Lyapunov")


def minimum_of(problem, dtype):
    """What is found of a case's problem, and the problem."""
    text = f'workers = 3\nrounds = 1\ndtype = "{dtype}"\nproblem = {{ {problem} }}\n'
    (case,) = config.parse(text + '[[cases]]\nmethod = "GD"', Path("some.toml")).cases
    door = Door(Alone())
    ours = ground(case, door)
    mu, ways = ours.constants.mu_f, (door, ours.placement, np.dtype(dtype))
    return minimum(ours.problem, mu, *ways), ours.problem


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_minimum_is_found(dtype):
    found, _ = minimum_of('name = "logistic", regularizer = "l2", lambda = 0.1', dtype)
    dense, eps = Logistic(3, regularizer="l2", strength=0.1), float(np.finfo(dtype).eps)
    assert dense.grad_norm_sq(found.x) < eps
    np.testing.assert_allclose(found.gradients, dense.gradients(found.x), atol=100 * eps)
    assert found.f == pytest.approx(dense.loss(found.x), rel=100 * eps)


def test_where_a_search_from_0_would_not_end_it_is_computed():
    found, problem = minimum_of('name = "quadratic", dimension = 200', "float64")
    dense = Quadratics(3, 200, 0, 1e-6)
    assert found.f == pytest.approx(problem.f_inf, rel=1e-12)
    np.testing.assert_allclose(found.x, dense.minimum, rtol=1e-6)


def test_a_minimum_of_0_is_found():
    found, _ = minimum_of('name = "matrix", shape = [8, 6], bases = "common"', "float64")
    assert 0 <= found.f < 1e-25


def test_a_minimum_that_is_not_found_is_not_spoken_of(monkeypatch):
    from mpi_lowrank.run import minimum as module

    monkeypatch.setattr(module, "MOST", 3)
    run = Run('method = "GD"', HEAD + 'problem = { name = "matrix", shape = [8, 6] }\n')
    told = run.made.theory.attributes()
    assert (told["guarantee"], told["linear_guarantee"]) == ("every run", "none")
    assert np.isnan(run.columns["linear_bound"]).all()
