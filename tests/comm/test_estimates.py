"""g = mean g_i in whole runs: round-off is none of its mistakes, a thousandth is one."""

import numpy as np
import pytest

from mpi_lowrank.methods.error_feedback import EF21
from mpi_lowrank.record import Record

pytestmark = pytest.mark.mpi

RUN = """
dtype = "float32"
problem = {{ name = "matrix", shape = [16, 8], heterogeneity = {spread} }}
workers = {workers}
rounds = {rounds}
evaluate_every = {every}
[[cases]]
method = "{method}"
compressor = "topk:k=4"
"""


class Excursion(EF21):
    """Somebody carries x far away, and back: g_i and g follow, as large as they get."""

    def round(self, t):
        super().round(t)
        if t == 10:
            self.kept = self.x.copy()
            self.x += 1e4
        elif t == 30:
            self.x[:] = self.kept


class OffByAThousandth(EF21):
    """From round 1 on g moves by a thousandth more than the mean of the messages."""

    def _learn(self, t):
        before = self._estimate.copy()
        super()._learn(t)
        if before.any():
            self._estimate += (self._estimate - before) / 1000


class OneIsNotHeard(EF21):
    """g leaves out what the first worker sent in round 3."""

    def round(self, t):
        super().round(t)
        if t == 3:
            first = np.ascontiguousarray(self.exchange.heard()[0])
            self.exchange.door.broadcast(first, "downlink")
            self._estimate -= first / self.exchange.placement.total


class LosesX(EF21):
    """The last rank's x is no number any more."""

    def round(self, t):
        super().round(t)
        placement = self.exchange.placement
        if t == 2 and placement.rank == placement.ranks - 1:
            self.x[0] = np.nan


@pytest.fixture
def verdict(comm, tmp_path_factory, monkeypatch):
    """Run one case; its status and why it is not valid."""
    from mpi_lowrank import config
    from mpi_lowrank.methods import methods
    from mpi_lowrank.run import experiment

    folder = comm.bcast(str(tmp_path_factory.mktemp("estimates")) if comm.rank == 0 else None)

    def verdict(method, workers, rounds=40, spread=0.0, every=1000):
        if isinstance(method, type):
            methods.names()  # the built-in ones come first
            monkeypatch.setitem(methods._found, method.__name__, method)
            method = method.__name__
        path = f"{folder}/{method}.toml"
        options = {"workers": workers, "rounds": rounds, "every": every, "spread": spread}
        text = RUN.format(method=method, **options)
        if comm.rank == 0:
            with open(path, "w") as file:
                file.write(text)
        comm.Barrier()
        experiment.run(config.load(path), comm, f"{path}.h5", overwrite=True)
        comm.Barrier()
        (case,) = Record(f"{path}.h5").cases.values()
        return case.attributes["status"], list(case.attributes["reasons"])

    return verdict


@pytest.mark.parametrize("spread", [0.0, 0.5])
@pytest.mark.parametrize("rounds", [1, 20])
def test_a_thousand_workers_in_float32_are_valid(verdict, rounds, spread):
    assert verdict("EF21", 1000, rounds, spread) == ("finished", [])


@pytest.mark.parametrize("workers", [4, 100])
def test_a_run_that_went_far_and_came_back_is_valid(verdict, workers):
    assert verdict(Excursion, workers, rounds=400) == ("finished", [])


@pytest.mark.parametrize("workers", [4, 1000])
def test_a_g_that_is_off_by_a_thousandth_is_not_valid(verdict, workers):
    status, (reason,) = verdict(OffByAThousandth, workers)
    assert status == "finished" and reason.startswith("g is not mean g_i")


def test_a_g_that_left_out_one_message_of_a_hundred_is_not_valid(verdict):
    status, (reason,) = verdict(OneIsNotHeard, 100)
    assert status == "finished" and reason.startswith("g is not mean g_i")


def test_an_x_that_is_no_number_on_one_rank_is_the_end_on_all(comm, verdict):
    status, reasons = verdict(LosesX, 4, every=1)
    assert status == "diverged"
    assert reasons == (["replicas of x differ: 1 ranks from rank 0"] if comm.size > 1 else [])
