import numpy as np
import pytest

pytestmark = pytest.mark.mpi


@pytest.fixture
def door(comm):
    from mpi_lowrank.comm.door import Door
    from mpi_lowrank.comm.ledger import Ledger

    return Door(comm, Ledger(comm.rank))


class Estimates:
    """A method's g_i of two workers a rank, and its g, off the mean by `error`."""

    def __init__(self, comm, error):
        everybody = np.random.default_rng(0).standard_normal((2 * comm.size, 5))
        self.mine = everybody[2 * comm.rank : 2 * comm.rank + 2]
        self.g = everybody.mean(axis=0) + error

    def estimate_error(self):
        return self.mine, self.g


def test_g_that_left_the_mean_of_the_g_i_is_noticed_and_round_off_is_not(comm, door):
    from mpi_lowrank.validity import check_estimate

    total = 2 * comm.size
    assert check_estimate(door, Estimates(comm, 0), total, rounds=100, scale=1.0) == []
    (reason,) = check_estimate(door, Estimates(comm, 1e-12), total, rounds=100, scale=1.0)
    assert reason.startswith("g is not mean g_i")


class Slope:
    """f(x) = slope . x for every worker, with a gradient that is wrong on the last rank alone."""

    def __init__(self, wrong):
        self.slope, self.wrong = np.arange(1.0, 6), wrong

    def losses(self, x, out):
        out[:] = self.slope @ x

    def gradients(self, x, out):
        out[:] = self.slope * (1 + 1e-5 * self.wrong)


def test_a_wrong_gradient_on_one_rank_is_noticed_by_all(comm, door):
    from mpi_lowrank.validity import check_gradient

    x = np.ones(5)
    assert check_gradient(door, Slope(wrong=False), x, 2) == []
    (reason,) = check_gradient(door, Slope(wrong=comm.rank == comm.size - 1), x, 2)
    assert reason.startswith("gradient differs from finite differences")


def test_a_call_that_the_ledger_missed_is_noticed(comm, door):
    from mpi_lowrank.validity import check_bytes

    class Sent:
        handed_bytes = 12 * comm.size

    door.broadcast(np.zeros(3, np.float32), "uplink")
    assert check_bytes(door, Sent) == []
    Sent.handed_bytes += 1
    assert "uplink bytes" in check_bytes(door, Sent)[0]
