import numpy as np
import pytest

from mpi_lowrank.record import Record

pytestmark = pytest.mark.mpi


@pytest.fixture
def door(comm):
    from mpi_lowrank.comm.mpi import MpiTransport
    from mpi_lowrank.door import Door

    return Door(MpiTransport(comm))


class Estimates:
    """A method's g_i of two workers per rank, and its g, off the mean by `error`; of size 1."""

    def __init__(self, comm, error):
        everybody = np.random.default_rng(0).standard_normal((2 * comm.size, 5))
        self.mine = everybody[2 * comm.rank : 2 * comm.rank + 2]
        self.g = everybody.mean(axis=0) + error
        self.x = np.zeros(5)

    def estimate_error(self):
        return self.mine, self.g

    def estimate_change(self):
        return np.zeros((2, 5))


def watched(comm, door, estimates):
    """What is known of them after a hundred rounds in which g and the g_i were as large."""
    from mpi_lowrank.run.evaluation import Measures
    from mpi_lowrank.run.rows import Row
    from mpi_lowrank.run.watch import Estimate

    watch = Estimate(estimates, door, 2 * comm.size)
    watch.row_measured(Row(0, Measures(0.0, 0.0, 0.0, 0.0, worker_norm=1.0), 0.0, False))
    for done in range(100):
        watch.round_done(done + 1)
    return watch


def test_g_that_left_the_mean_of_the_g_i_is_noticed_and_round_off_is_not(comm, door):
    assert watched(comm, door, Estimates(comm, 0)).check() == []
    (reason,) = watched(comm, door, Estimates(comm, 1e-12)).check()
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
    from mpi_lowrank.run.validity import check_gradient

    x = np.ones(5)
    assert check_gradient(door, Slope(wrong=False), x, 2) == []
    (reason,) = check_gradient(door, Slope(wrong=comm.rank == comm.size - 1), x, 2)
    assert reason.startswith("gradient differs from finite differences")


@pytest.fixture
def exchange(comm, door):
    """Of two workers per rank, which have sent five zeros each."""
    from mpi_lowrank.compressors import compressors
    from mpi_lowrank.door.placement import Placement
    from mpi_lowrank.exchange import Exchange
    from mpi_lowrank.machine.clock import Clock

    placement, dtype = Placement(2 * comm.size, comm.size, comm.rank), np.dtype(float)
    exchange = Exchange(door, placement, Clock(), dtype)
    identity = compressors["identity"]((5,), dtype)
    exchange.prepare(identity)
    exchange(np.zeros((2, 5)), identity)
    return exchange


def test_a_call_that_was_no_message_s_is_noticed(comm, door, exchange):
    from mpi_lowrank.run.validity import check_bytes

    assert check_bytes(door, exchange) == [] and exchange.handed_bytes > 0
    door.broadcast(np.zeros(1, np.uint8), "uplink")
    assert "uplink bytes" in check_bytes(door, exchange)[0]


WRONG = [0, -1]  # the rank that has what is not finite: the first, the last


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_maximum_of_what_is_no_number_is_infinite_whoever_has_it(comm, door, dtype, wrong):
    mine, whole = np.array([comm.rank, comm.rank], dtype), np.zeros(2, dtype)
    if comm.rank == wrong % comm.size:
        mine[1] = np.nan
    door.maximum(mine, whole, "control")
    assert whole.tolist() == [comm.size - 1, np.inf]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("what", ["gradients", "losses"])
def test_a_gradient_or_loss_of_one_rank_that_is_not_finite_is_noticed_by_all(
    comm, door, what, wrong
):
    from mpi_lowrank.run.validity import check_gradient

    slope = Slope(wrong=False)
    if comm.rank == wrong % comm.size:
        setattr(slope, what, lambda x, out: out.fill(np.nan))
    assert check_gradient(door, slope, np.ones(5), 2) == ["a loss or gradient at x^0 is not finite"]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_g_i_of_one_rank_that_is_not_finite_is_noticed_by_all(comm, door, exchange, wrong):
    from mpi_lowrank.run.watch import FirstRounds

    estimates = Estimates(comm, 0)
    first = FirstRounds(estimates, exchange)
    first.round_begun(0)
    if comm.rank == wrong % comm.size:
        estimates.mine[1, 2] = np.nan
    first.round_done(1)
    (reason,) = first.check()
    assert reason.startswith("g_i does not move by what worker i sends")
    (reason,) = watched(comm, door, estimates).check()
    assert reason.startswith("g is not mean g_i")


@pytest.mark.parametrize("wrong", WRONG)
def test_a_case_that_starts_where_the_loss_is_not_finite_has_diverged(
    comm, tmp_path_factory, monkeypatch, wrong
):
    from mpi_lowrank import config
    from mpi_lowrank.problems import problems
    from mpi_lowrank.run import experiment

    class Pole(problems["matrix"]):
        """No loss at the start, for one rank's workers."""

        calls = 0

        def losses(self, x, out, batch=None):
            super().losses(x, out, batch)
            self.calls += 1
            if self.calls <= 3 and comm.rank == wrong % comm.size:
                out[0] = np.nan

    monkeypatch.setitem(problems._found, "pole", Pole)
    folder = comm.bcast(str(tmp_path_factory.mktemp("pole")) if comm.rank == 0 else None)
    if comm.rank == 0:
        with open(f"{folder}/pole.toml", "w") as file:
            file.write('problem = "pole"\nworkers = 4\nrounds = 3\n[[cases]]\nmethod = "GD"')
    comm.Barrier()
    experiment.run(config.load(f"{folder}/pole.toml"), comm, f"{folder}/pole.h5")
    comm.Barrier()
    (case,) = Record(f"{folder}/pole.h5").cases.values()
    given = case.attributes
    assert (given["status"], bool(given["valid"])) == ("diverged", False)
    assert list(given["reasons"]) == ["a loss or gradient at x^0 is not finite"]
