"""Ranks whose x or g goes its own way for a while: noticed, and nobody waits for anybody."""

from pathlib import Path

import numpy as np
import pytest

from mpi_lowrank.record import Record

pytestmark = pytest.mark.mpi

CONFIG = """
workers = 4
rounds = 60
evaluate_every = 50
stepsize = 0.01
sync_every = {sync}
problem = {{ name = "matrix", shape = [6, 4] }}
[[cases]]
method = "stray"
compressor = "{}"
"""

IDENTITY, TOPK = "identity", "topk:k=3"


@pytest.fixture
def case_of(comm, tmp_path_factory, monkeypatch):
    """Run a case whose method strays; its attributes and rows in the record."""
    from mpi_lowrank import config
    from mpi_lowrank.methods import methods
    from mpi_lowrank.run import experiment

    def case_of(method, compressor=IDENTITY, sync=0):
        methods.names()
        monkeypatch.setitem(methods._found, "stray", method)
        text = CONFIG.format(compressor, sync=sync)
        folder = comm.bcast(str(tmp_path_factory.mktemp("stray")) if comm.rank == 0 else None)
        experiment.run(config.parse(text, Path("some.toml")), comm, Path(folder) / "some.h5")
        comm.Barrier()
        (case,) = Record(Path(folder) / "some.h5").cases.values()
        return case

    return case_of


def estranged(comm, base, stray):
    """A method like `base` that `stray`s with its round on the last rank alone."""
    from mpi_lowrank.methods import methods

    class Stray(methods[base]):
        def round(self, t):
            super().round(t)
            if comm.rank == comm.size - 1:
                stray(self, t)

    return Stray


def drift(array):
    """In rounds 15 to 27 the array's first number is off by a bit, then all is as it was."""

    def stray(method, t):
        kept = getattr(method, array)
        if t == 15:
            method.kept = kept[0]
        if 15 <= t < 28:
            kept[0] = np.nextafter(method.kept, 2)
        if t == 28:
            kept[0] = method.kept

    return stray


def test_ranks_that_agree_throughout_are_valid(comm, case_of):
    given = case_of(estranged(comm, "EF21", lambda method, t: None), TOPK).attributes
    assert given["valid"] and given["status"] == "finished"


class Still:
    """A stepsize of zero: x stays, so that a rank can come back to it."""

    def move(self, direction):
        pass


@pytest.mark.parametrize(("array", "name"), [("x", "x"), ("_estimate", "g")])
def test_a_rank_that_strays_and_comes_back_is_noticed(comm, case_of, array, name):
    method = estranged(comm, "EF21", drift(array))
    given = case_of(type("Stray", (Still, method), {}), TOPK).attributes
    reason = f"{name} was not the same on all ranks after round 19"
    assert given["reasons"] == ([reason] if comm.size > 1 else [])


def test_an_x_that_is_lost_on_one_rank_between_rows_ends_the_case_on_all(comm, case_of):
    def lose(method, t):
        method.x[0] = np.nan if t == 12 else method.x[0]

    case = case_of(estranged(comm, "DCGD", lose))
    assert case.attributes["status"] == "diverged"
    assert case["round"].tolist() == [0, 20]
    assert case.attributes["valid"] == (comm.size == 1)


@pytest.mark.parametrize(("array", "name"), [("x", "x"), ("_estimate", "g")])
def test_a_repair_makes_the_same_of_what_drifted_and_what_it_was_is_told(
    comm, case_of, array, name
):
    def leave(method, t):
        if t == 15:
            getattr(method, array)[0] += 1e-9

    method = type("Stray", (Still, estranged(comm, "EF21", leave)), {})
    reasons = set(case_of(method, TOPK, sync=20).attributes["reasons"])
    told = f"{name} was not the same on all ranks after round 19"
    assert told in reasons if comm.size > 1 else not reasons or array == "_estimate"
    assert not [reason for reason in reasons if reason.startswith("replicas of x differ")]
