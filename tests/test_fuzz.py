"""Whatever a configuration says, it is run or refused with one line."""

import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi_lowrank import config
from mpi_lowrank.errors import LONGEST, UserError

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from hostile.configurations import make, mutant, read_small


@settings(deadline=None, derandomize=True, max_examples=400)
@given(st.randoms(use_true_random=False))
def test_a_mutated_configuration_is_read_or_refused_with_one_line(random):
    try:
        config.parse(mutant(random), Path("some.toml"))
    except UserError as error:
        assert str(error).isprintable() and len(str(error)) <= LONGEST


@pytest.mark.mpi
def test_a_mutated_configuration_is_run_or_refused_by_all_ranks(comm, tmp_path_factory, capfd):
    from mpi_lowrank.comm import world
    from mpi_lowrank.run import experiment

    out = comm.bcast(tmp_path_factory.mktemp("mutants") / "some.h5" if comm.rank == 0 else None)
    refused = 0
    for experiment_ in runnable(count=12):
        try:
            experiment.run(experiment_, comm, out, overwrite=True)
        except world.AgreedError:
            refused += 1
    told = comm.allreduce(len(capfd.readouterr().err.splitlines()))
    assert told == refused and 0 < refused < 12


def runnable(count):
    """That many mutants that can be read and are small, cut to three rounds."""
    for number in range(10**4):
        try:
            yield read_small(make(Random(number)))
        except UserError:
            continue
        count -= 1
        if count == 0:
            return
