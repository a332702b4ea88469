"""A sweep that was cut goes on: what is finished stays, what was running ends as if left alone.

Ranks are killed with a real SIGKILL at given moments: they agree every so many rounds.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mpi_lowrank.record import Record

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

import kills

SWEEP = """
workers = 4
rounds = 120
evaluate_every = 9
stepsize = 0.01
reduction = "ordered"
problem = { name = "matrix", shape = [8, 14] }
[[cases]]
method = "EF21"
compressor = ["randk:k=5", "powersgd:rank=2"]
[[cases]]
method = "EF21-PP"
compressor = ["randk:k=5", "rsvd:rank=1"]
"""
LABELS = [
    "EF21 + Rand-5 stepsize=0.01",
    "EF21 + rank-2 PowerSGD stepsize=0.01",
    "EF21-PP + Rand-5 stepsize=0.01",
    "EF21-PP + rank-1 randomized SVD stepsize=0.01",
]

PATCH = """
import os, signal, sys
if "run" in sys.argv:
    import mpi_lowrank.comm.agreement as agreement
    import mpi_lowrank.door.ledger as ledger
    import mpi_lowrank.run.checkpoint as checkpoint

    ledger.Ledger.ROUNDS = 20
    agreement.Agreement.due, checkpoint.FIRST = lambda self, done: done % 20 == 7, 1e-6
    rank = os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK", "0"))
    take, left = checkpoint.Checkpoints.take, [int(os.environ.get("LEFT", "0"))]

    def counted(self, done):
        take(self, done)
        left[0] -= 1
        if left[0] == 0 and rank == os.environ["RANK"]:
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))

    checkpoint.Checkpoints.take = counted
"""


class Runner:
    """Runs the sweep in a folder of its own."""

    def __init__(self, folder, mpirun):
        self.folder, self.mpirun, self.out = folder, mpirun, folder / "some.h5"
        (folder / "some.toml").write_text(SWEEP)
        (folder / "sitecustomize.py").write_text(PATCH)

    def __call__(self, *options, ranks=2, left=0, rank=0, number=signal.SIGKILL, every="1e-6"):
        """Exit status and outputs; after `left` checkpoints a signal hits one rank."""
        told = {"LEFT": str(left), "RANK": str(rank), "SIGNAL": str(int(number))}
        program = [sys.executable, "-m", "mpi_lowrank", "run", "some.toml", "--out", "some.h5"]
        done = subprocess.run(
            [self.mpirun, "-n", str(ranks), *program, "--checkpoint-every", every, *options],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.folder)} | told,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    def statuses(self):
        return [case.attributes["status"] for case in Record(self.out).cases.values()]


@pytest.fixture
def sweep(tmp_path, mpirun):
    return Runner(tmp_path, mpirun)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, mpirun):
    """The record of a sweep that was left alone."""
    run = Runner(tmp_path_factory.mktemp("whole"), mpirun)
    assert run()[0] == 0
    return Record(run.out)


def test_killed_again_and_again_on_any_number_of_ranks_it_ends_as_if_it_was_not(sweep, whole):
    assert sweep(left=2, rank=1)[0] not in (0, 130)
    assert sweep.statuses() == ["running"] and (sweep.folder / "some.h5.checkpoint").exists()
    (case,) = Record(sweep.out).cases.values()
    assert len(case.ledger) > 50 and len(case.phases) == 2  # with the rows, in pieces
    assert sweep(left=1, ranks=1)[0] != 0
    out = sweep("--dry-run", ranks=3)[1].splitlines()
    assert out[0] == f"{'goes on after round 47 (running)':<42}{LABELS[0]}"
    assert out[1:] == [f"{'runs':<42}{label}" for label in LABELS[1:]]
    assert sweep()[:2] == (0, "record: some.h5\n")
    record = Record(sweep.out)
    for label, case in whole.cases.items():
        other = record.cases[label]
        for name in ("round", "loss", "grad_norm_sq", "uplink_bytes", "downlink_bytes"):
            np.testing.assert_array_equal(other[name], case[name])
        for purpose in (b"uplink", b"downlink"):
            sums = [c.ledger["bytes"][c.ledger["purpose"] == purpose].sum() for c in (case, other)]
            assert sums[0] == sums[1] and other.attributes["valid"]
    assert len(record.attributes["sessions"]) == 3
    assert sorted(path.name for path in sweep.folder.glob("some.h5*")) == ["some.h5"]


def test_after_signals_all_is_the_same_to_the_bit(sweep, whole):
    told = "interrupted; the record holds what there is, and the same command{} goes on\n"
    for rank, number in enumerate((signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)):
        options, more = ((), "") if rank else (("--overwrite",), " without --overwrite")
        ended = sweep(*options, left=2, rank=rank % 2, number=number)
        assert ended[:2] == (130, told.format(more))
        *_, case = Record(sweep.out).cases.values()
        assert case.attributes["status"] == "interrupted"
        assert case["round"][-1] % 9 != 0 and case.attributes["valid"]  # a row where it ended
    assert sweep()[0] == 0
    assert kills.differences(whole, Record(sweep.out)) == []


def test_with_no_period_only_a_signal_takes_a_checkpoint(sweep, whole):
    assert sweep(every="0")[0] == 0
    record = Record(sweep.out)
    assert kills.differences(whole, record) == []
    assert {case.attributes["checkpoints"] for case in record.cases.values()} == {0}


def test_a_damaged_checkpoint_is_told_and_its_case_starts_over(sweep, whole):
    sweep(left=2)
    checkpoint = sweep.folder / "some.h5.checkpoint"
    image = bytearray(checkpoint.read_bytes())
    image[len(image) // 2] ^= 1
    checkpoint.write_bytes(image)
    code, _, err = sweep()
    assert code == 0 and "some.h5.checkpoint: is damaged" in err and "its case starts over" in err
    assert kills.differences(whole, Record(sweep.out)) == []


def test_shards_and_chosen_cases_fill_one_record(sweep, whole):
    assert sweep("--shard", "2/3")[0] == 0 and list(Record(sweep.out).cases) == LABELS[1:2]
    assert sweep("--cases", "EF21-PP *")[0] == 0
    assert list(Record(sweep.out).cases) == LABELS[1:]
    told = sweep("--dry-run")[1].splitlines()
    assert [line.split("  ")[0] for line in told] == ["runs", *["stays (finished)"] * 3]
    assert sweep()[0] == 0 and kills.differences(whole, Record(sweep.out)) == []


def test_what_failed_runs_again(sweep, whole):
    broken = "import mpi_lowrank.methods.error_feedback as m\nm.EF21.move = lambda *_: 1 / 0\n"
    patch = sweep.folder / "sitecustomize.py"
    patch.write_text(PATCH + broken.replace("move", "__init__"))
    assert sweep("--cases", LABELS[0])[0] == 1  # before its first row
    patch.write_text(PATCH + broken)
    assert sweep()[0] == 1 and set(sweep.statuses()) == {"failed"}
    patch.write_text(PATCH)
    assert sweep("--dry-run")[1].startswith("starts over (failed)")
    assert sweep()[0] == 0 and kills.differences(whole, Record(sweep.out)) == []


def test_a_record_that_a_run_is_writing_is_refused(sweep):
    program = [sys.executable, "-m", "mpi_lowrank", "run", "some.toml", "--out", "some.h5"]
    started = subprocess.Popen([*program, "--set", "rounds=10000000"], cwd=sweep.folder)
    try:
        deadline = time.monotonic() + 30
        while not sweep.out.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        code, _, err = sweep("--set", "rounds=10000000")
        assert code == 2 and "some.h5: is being written by a run that goes on" in err
    finally:
        started.kill()
        started.wait()
    assert "runs" in sweep("--dry-run", "--set", "rounds=10000000")[1]


def test_a_case_is_stopped_when_its_time_is_over_and_stays_so(sweep):
    options = ("--set", "rounds=100000000", "--set", "time_limit=0.3", "--cases", "*Top-3*")
    options = (*options, "--set", 'cases.compressor="topk:k=3"')
    assert sweep(*options, left=2)[0] not in (0, 130)
    assert sweep(*options)[0] == 0
    assert set(sweep.statuses()) == {"stopped"}
    case = next(iter(Record(sweep.out).cases.values()))
    assert 0 < case["seconds"][-1] + case.phases["evaluate"].max() < 3
    assert sweep("--dry-run", *options)[1].count("stays (stopped)") == 2
