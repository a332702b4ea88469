import numpy as np
import pytest

pytestmark = pytest.mark.mpi

D, LOCAL = 6, 2


class Centres:
    """f_i(x) = |x - c_i|^2 / 2; a rank has 3 right rows of 5, and 1 of 2 that are held out."""

    d, metrics = D, ()

    def __init__(self, centres):
        self.centres = centres

    def gradients(self, x, out):
        out[...] = x - self.centres

    def losses(self, x, out):
        out[:] = ((x - self.centres) ** 2).sum(axis=1) / 2

    def correct(self, x):
        return 3, 1


@pytest.fixture
def everybody(comm):
    return np.random.default_rng(1).standard_normal((LOCAL * comm.size, D))


def evaluator(comm, everybody, rows=None, **options):
    from mpi_lowrank.comm.mpi import MpiTransport
    from mpi_lowrank.door import Door
    from mpi_lowrank.machine.clock import Clock
    from mpi_lowrank.run.evaluation import Evaluator
    from mpi_lowrank.run.gradients import Gradients

    problem = Centres(everybody[LOCAL * comm.rank : LOCAL * (comm.rank + 1)])
    gradients = Gradients(problem, LOCAL, np.dtype(float), Clock())
    rows = (5 * comm.size, 2 * comm.size) if rows is None else rows
    door, total = Door(MpiTransport(comm)), LOCAL * comm.size
    return Evaluator(problem, gradients, door, LOCAL, total, rows, **options)


def test_what_is_measured_is_the_mean_over_all_workers(comm, everybody):
    evaluate = evaluator(comm, everybody)
    for done, x in enumerate((np.zeros(D), np.arange(D, dtype=float))):
        measures, differences = evaluate(x, done), x - everybody
        squares = (differences**2).sum(axis=1)
        assert measures.loss == pytest.approx(squares.mean() / 2, rel=1e-14)
        expected = (differences.mean(axis=0) ** 2).sum()
        assert measures.grad_norm_sq == pytest.approx(expected, rel=1e-13)
        assert measures.worker_norm == pytest.approx(np.sqrt(squares.mean()), rel=1e-14)
        assert (measures.train_accuracy, measures.test_accuracy) == (3 / 5, 1 / 2)
        assert measures.whole and measures.finite
    rows = evaluate.door.ledger.rows()
    assert set(rows["purpose"]) == {b"evaluation"}


def test_accuracy_is_not_a_number_without_rows(comm, everybody):
    measures = evaluator(comm, everybody, rows=(0, 0))(np.zeros(D), 0)
    assert np.isnan(measures.train_accuracy) and np.isnan(measures.test_accuracy)


def test_losses_are_measured_in_the_first_row_from_each_multiple_on_and_in_the_last(
    comm, everybody
):
    evaluate = evaluator(comm, everybody, loss_every=10)
    rows = [(0, False), (4, False), (8, False), (12, False), (16, False), (20, False), (24, True)]
    whole = [evaluate(np.zeros(D), done, last) for done, last in rows]
    assert [measures.whole for measures in whole] == [True, False, False, True, False, True, True]
    for measures in whole:
        assert measures.finite and np.isnan(measures.loss) == (not measures.whole)
        assert np.isnan(measures.train_accuracy) == np.isnan(measures.test_accuracy)
        assert np.isnan(measures.test_accuracy) == (not measures.whole)


def test_a_metric_is_reached_by_falling_and_an_accuracy_by_rising_to_the_value(comm):
    from mpi_lowrank.run.evaluation import Measures

    measures = Measures(0.5, 0.25, 0.75, np.nan, 1.0)
    assert measures.reaches("loss", 0.5) and not measures.reaches("loss", 0.49)
    assert measures.reaches("grad_norm_sq", 0.25) and not measures.reaches("grad_norm_sq", 0.2)
    assert measures.reaches("train_accuracy", 0.75)
    assert not measures.reaches("train_accuracy", 0.76)
    assert not measures.reaches("test_accuracy", 0.1)


@pytest.mark.parametrize(
    ("loss", "square", "whole", "finite"),
    [
        (1.0, 1.0, True, True),
        (np.inf, 1.0, True, False),
        (np.nan, 1.0, True, False),
        (np.nan, 1.0, False, True),
        (1.0, np.inf, True, False),
        (np.nan, np.nan, False, False),
    ],
)
def test_what_was_measured_is_finite_or_not(comm, loss, square, whole, finite):
    from mpi_lowrank.run.evaluation import Measures

    assert Measures(loss, square, 1.0, 1.0, 1.0, whole).finite == finite
