"""Whole runs with `stepsize = "tuned"`, beside a grid that was written by hand."""

import shutil

import pytest

from mpi_lowrank.record import Record
from mpi_lowrank.report.best import best_steps

pytestmark = pytest.mark.mpi

RUN = """
name = "some"
workers = 4
rounds = 40
seed = [0, 1]
stop = {{ grad_norm_sq = 1e-2 }}
loss_every = 1000
problem = {{ name = "quadratic", dimension = 4, lambda = 0.5, noise = 0.2 }}
{given}
[[cases]]
method = "GD"
[[cases]]
method = "EF21"
compressor = "topk:k=1"
"""
TUNED = 'stepsize = "tuned"\ntune = { by = "uplink_bytes" }'
GRID = f"stepsize = {[f'{2.0**k:g}/L' for k in range(-3, 4)]}"
SAME = ("round", "uplink_bytes", "downlink_bytes", "grad_norm_sq")


@pytest.fixture
def run(comm, tmp_path_factory):
    """Runs a configuration into a file of that name, on all ranks, and reads it."""
    from mpi_lowrank import config
    from mpi_lowrank.run import experiment

    if comm.size != 2:
        pytest.skip("two ranks decide together or not at all")
    folder = comm.bcast(str(tmp_path_factory.mktemp("tuned")) if comm.rank == 0 else None)

    def run(name, given, *chosen):
        told = config.parse(RUN.format(given=given), f"{folder}/some.toml")
        out = f"{folder}/{name}.h5"
        experiment.run(config.select(told, *chosen), comm, out, quiet=True)
        comm.Barrier()
        return Record(out)

    return run


def chosen(record):
    """The step of each method, and the least and the most bytes that it took to the target."""
    steps = best_steps([record], ("grad_norm_sq", 1e-2), "uplink_bytes")
    told = ("stepsize", "uplink_bytes_least", "uplink_bytes_most")
    return {step.row["name"]: [step.row[key] for key in told] for step in steps}


def rounds(record):
    return sum(map(len, record.cases.values()))


def test_the_tuned_step_is_that_of_a_grid_by_hand_however_often_the_search_was_cut(run, comm):
    begun = run("tuned", TUNED, "GD *")
    assert {case.attributes["method"] for case in begun.cases.values()} == {"GD"}
    first = begun.path.with_name("first.h5")
    if comm.rank == 0:
        shutil.copy(begun.path, first)
    tuned, grid = run("tuned", TUNED), run("grid", GRID)
    assert chosen(tuned) == chosen(grid)
    (gd, *_), (ef21, *_) = chosen(tuned).values()
    assert gd == "1/L" and ef21 in ("0.5/L", "2/L", "4/L")  # 2/(L + mu) lies below 2/L
    assert {case.attributes["status"] for case in tuned.cases.values()} == {"finished", "stopped"}
    assert rounds(tuned) < 0.8 * rounds(grid)
    for label in set(tuned.cases) & set(grid.cases):
        mine, other = tuned.cases[label], grid.cases[label]
        rows = min(len(mine), len(other))
        assert all((mine[name][:rows] == other[name][:rows]).all() for name in SAME)
    written = tuned.path.read_bytes()
    run("tuned", TUNED)
    assert tuned.path.read_bytes() == written  # nothing was left to do
    share = run("share", TUNED, None, "2/2")
    if comm.rank == 0:
        from mpi_lowrank.record.merge import merge

        merge([first, share.path], first.with_name("merged.h5"))
        merged = Record(first.with_name("merged.h5"))
        assert set(merged.cases) == set(tuned.cases) and chosen(merged) == chosen(tuned)
