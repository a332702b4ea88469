"""What is measured when, and who pays for the gradients."""

import subprocess
import sys

import numpy as np
import pytest

from mpi_lowrank.machine.clock import Clock
from mpi_lowrank.problems.batch import Batch
from mpi_lowrank.record import Record
from mpi_lowrank.run.gradients import Gradients

CASES = """
workers = 4
rounds = 20
stop = { grad_norm_sq = 1e-30 }
[[cases]]
method = "EF21"
compressor = "topk:k=3"
multiple = 16
loss_every = [1, 7]
evaluate_every = [1, 2]
[[cases]]
label = "target"
method = "GD"
rounds = 500
stop = { grad_norm_sq = 0.2 }
loss_every = 400
[[cases]]
label = "stop by loss"
method = "GD"
rounds = 500
stop = { loss = 2.0 }
loss_every = 400
[[cases]]
label = "diverges"
method = "GD"
stepsize = 1e200
loss_every = 400
"""
SPACED = ("loss", "train_accuracy", "test_accuracy")


@pytest.fixture(scope="module")
def cases(tmp_path_factory, mpirun):
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "some.toml").write_text(CASES)
    program = [sys.executable, "-m", "mpi_lowrank", "run", "some.toml", "--out", "some.h5"]
    subprocess.run([mpirun, "-n", "2", *program], cwd=folder, check=True, timeout=100)
    return Record(folder / "some.h5").cases


def named(cases, every, rows):
    return cases[f"EF21 + Top-3 16x evaluate_every={rows} loss_every={every}"]


@pytest.mark.parametrize("rows", [1, 2])
def test_loss_and_accuracy_at_spaced_rounds_are_those_of_every_round(cases, rows):
    whole, spaced = named(cases, 1, rows), named(cases, 7, rows)
    for column in set(whole.columns()) - {*SPACED, "seconds"}:
        np.testing.assert_array_equal(spaced[column], whole[column])
    measured = ~np.isnan(spaced["loss"])
    # from each multiple of 7 on the first row, and the last one
    assert spaced["round"][measured].tolist() == ([0, 7, 14, 20] if rows == 1 else [0, 8, 14, 20])
    for column in SPACED:
        np.testing.assert_array_equal(spaced[column][measured], whole[column][measured])
        assert np.isnan(spaced[column][~measured]).all()


def test_rounds_to_a_target_are_exact_and_the_last_row_is_whole(cases):
    case = cases["target"]
    met = case["grad_norm_sq"] <= 0.2
    assert met[-1] and not met[:-1].any() and len(case) < 400
    assert np.isfinite(case["loss"][-1]) and np.isnan(case["loss"][1:-1]).all()
    assert 0 < case["train_accuracy"][-1] < 1


def test_a_case_that_a_loss_stops_measures_it_in_every_row(cases):
    loss = cases["stop by loss"]["loss"]
    assert loss[-1] <= 2.0 and (loss[:-1] > 2.0).all() and len(loss) < 400


def test_a_case_that_diverges_between_measured_rows_ends_there(cases):
    assert cases["diverges"].attributes["status"] == "diverged" and len(cases["diverges"]) < 5


class Counting:
    """grad f_i(x) = x + i for three workers, and the first of its rows more of a batch."""

    d = 5
    asked = 0

    def gradients(self, x, out, batch=None):
        self.asked += 1
        out[...] = x + np.arange(3)[:, np.newaxis]
        if batch is not None:
            out += batch.rows[:, :1]


@pytest.fixture
def counted():
    problem, clock = Counting(), Clock()
    return problem, Gradients(problem, 3, np.dtype(float), clock), clock


def test_gradients_of_an_evaluation_are_the_method_s_at_the_same_x_once(counted):
    problem, gradients, clock = counted
    x = np.arange(5.0)
    evaluated = gradients.evaluated(x).copy()
    gradients.evaluated(x)
    assert problem.asked == 1 and clock.seconds["gradient"] == 0
    clock.resume()
    given = gradients(x)
    np.testing.assert_array_equal(given, evaluated)
    assert problem.asked == 1 and clock.seconds["gradient"] > 0
    given[...] = 0  # what the method is given is its own
    np.testing.assert_array_equal(gradients(x), evaluated)
    assert problem.asked == 2


def test_another_x_is_computed_anew(counted):
    problem, gradients, _ = counted
    x = np.arange(5.0)
    gradients.evaluated(x)
    x[2] += 1e-15
    np.testing.assert_array_equal(gradients(x)[1], x + 1)
    assert problem.asked == 2
    x[0] = np.nan
    gradients.evaluated(x)
    gradients(x)
    assert problem.asked == 4


def test_a_batch_and_points_of_the_workers_own_are_computed_anew(counted):
    problem, gradients, _ = counted
    x, batch = np.arange(5.0), Batch(np.array([[7], [8], [9]]), np.ones(3))
    whole = gradients.evaluated(x).copy()
    np.testing.assert_array_equal(gradients(x, batch), whole + batch.rows)
    gradients.evaluated(x)
    np.testing.assert_array_equal(gradients(np.tile(x, (3, 1))), whole)
    gradients.evaluated(x)
    assert problem.asked == 5
