"""Second derivatives of every problem that gives them, against differences of its gradients."""

from dataclasses import replace

import numpy as np
import pytest
from test_points_and_batches import CASES, gradients, make, shards, start

from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Block

GIVEN = [case for case in CASES if problems[case.split()[0]].has_hessians]

every_case = pytest.mark.parametrize("case", GIVEN)
points = pytest.mark.parametrize("own", [False, True], ids=["one point", "own points"])


def hessians(problem, x):
    out = np.full((len(problem.samples), problem.d, problem.d), np.nan, x.dtype)
    problem.hessians(x, out)
    return out


def test_who_gives_none():
    given = {"logistic", "least_squares", "softmax", "matrix", "quadratic"}
    assert {case.split()[0] for case in GIVEN} == given
    with pytest.raises(NotImplementedError, match="mlp gives no second derivatives"):
        make("mlp").hessians(np.zeros(30), np.zeros((4, 30, 30)))


@every_case
@points
def test_they_agree_with_differences_of_gradients(case, own):
    problem, step = make(case), 1e-5
    x, found = start(problem, own), hessians(problem, start(problem, own))
    for j, unit in enumerate(step * np.eye(problem.d)):
        slope = (gradients(problem, x + unit) - gradients(problem, x - unit)) / (2 * step)
        np.testing.assert_allclose(found[:, j], slope, rtol=0, atol=1e-8)


@every_case
def test_they_are_symmetric_and_those_of_float64_in_float32(case):
    single, double = make(case, np.float32), make(case)
    x = start(single, False, np.float32)
    found, expected = hessians(single, x), hessians(double, x.astype(float))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * abs(expected).max())
    np.testing.assert_allclose(expected, expected.transpose(0, 2, 1), rtol=0, atol=1e-15)


@every_case
@points
def test_a_worker_s_bits_do_not_depend_on_who_shares_its_rank(case, own):
    problem = make(case)
    x, together = start(problem, own), hessians(problem, start(problem, own))
    for w in range(4):
        mine = shards(case).workers[w : w + 1]
        alone = make(case, np.float64, replace(shards(case), numbers=range(w, w + 1), workers=mine))
        assert hessians(alone, x[w : w + 1] if own else x).tobytes() == together[w].tobytes()


FORMULAS = [
    ("logistic", Block("x", (7,)), 3 * 49 + 10 * 7),
    ("least_squares", Block("x", (7,)), 3 * 49 + 10 * 7),
    ("softmax", Block("W", (7, 5)), 3 * 35**2 + 3 * (7 + 5) * 10),
    ("matrix", Block("W", (7, 5)), 3 * 35**2),
    ("quadratic", Block("x", (7,)), 3 * 49),
]


@pytest.mark.parametrize(("name", "block", "numbers"), FORMULAS)
def test_what_they_take(name, block, numbers):
    assert problems[name].hessian_footprint((block,), 3, 10, 8) == 8 * numbers
