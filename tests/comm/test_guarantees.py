"""Whole runs of cases with `theory`: a promise that is not kept is told in the record."""

from dataclasses import replace

import pytest

from mpi_lowrank.compressors.coordinates.sparse import TopK
from mpi_lowrank.record import THEORY, Record

pytestmark = pytest.mark.mpi

RUN = """
workers = 5
rounds = 30
theory = [true, false]
[[cases]]
method = "EF21"
compressor = "{spec}"
"""


class Optimist(TopK):
    """Promises ten times what it has."""

    def promised(self):
        whole = super().promised()
        return replace(whole, alpha=min(1.0, 10 * whole.alpha))


@pytest.fixture
def cases(comm, tmp_path_factory, monkeypatch):
    """Those of a compressor: with theory, and without."""
    from mpi_lowrank import config
    from mpi_lowrank.compressors import compressors
    from mpi_lowrank.run import experiment

    folder = comm.bcast(str(tmp_path_factory.mktemp("guarantees")) if comm.rank == 0 else None)
    compressors.names()
    monkeypatch.setitem(compressors._found, "optimist", Optimist)

    def cases(spec):
        path = f"{folder}/{spec.partition(':')[0]}.toml"
        text = RUN.format(spec=spec)
        experiment.run(config.parse(text, path), comm, f"{path}.h5", overwrite=True)
        comm.Barrier()
        return Record(f"{path}.h5").cases.values()

    return cases


def test_ef21_on_mushrooms_keeps_what_its_theorem_promises(cases):
    told, silent = cases("topk:k=2")
    assert (told.attributes["valid"], told.attributes["guarantee"]) == (True, "every run")
    assert told.attributes["f_inf"] == 0 and not THEORY.keys() & silent.columns().keys()
    assert (told["realised_alpha"][2:] >= 2 / 112).all()
    for column in silent.metrics:
        assert told[column].tobytes() == silent[column].tobytes()
    assert told["uplink_bytes"][-1] == silent["uplink_bytes"][-1]


def test_a_compressor_that_promises_too_much_makes_the_run_invalid(cases):
    told, silent = cases("optimist:k=2")
    assert not told.attributes["valid"] and silent.attributes["valid"]
    (reason,) = told.attributes["reasons"]
    assert reason.startswith("the compressor contracts less than it promises: ")
