"""Signals to a run: when it starts, in a long stretch without evaluation, and twice."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mpi_lowrank.record import Record

ENDLESS = """
workers = 6
rounds = 100000000
evaluate_every = 100000000
[[cases]]
method = "EF21"
compressor = { name = "topk", k = 3 }
"""

TELL = "import os; open(os.path.join({folder!r}, f'pid.{{os.getpid()}}'), 'w').close()\n"
HANG = """
import time
import mpi_lowrank.methods.error_feedback as m

m.EF21.move = lambda *_: time.sleep(100)
"""
SLOW_SETUP = """
import time
import numpy as np
from mpi_lowrank.problems.logistic import LogisticRegression


def smoothness(self, mean):
    while True:
        time.sleep(0.01)
        mean(np.zeros((len(self.samples), 4)))


LogisticRegression.smoothness = smoothness
"""
AT_IMPORT = """
import os, signal, sys


class Finder:
    def find_spec(self, name, *_):
        if name == "MODULE":
            os.kill(os.getpid(), signal.SIGINT)


sys.meta_path.insert(0, Finder())
"""


class Run:
    """A run of two ranks that is under way."""

    def __init__(self, mpirun, folder, code=""):
        self.folder, self.record = folder, folder / "some.h5"
        (folder / "some.toml").write_text(ENDLESS)
        (folder / "sitecustomize.py").write_text(TELL.format(folder=str(folder)) + code)
        program = [sys.executable, "-m", "mpi_lowrank", "run", "some.toml", "--out", "some.h5"]
        self.launcher = subprocess.Popen(
            [mpirun, "-n", "2", *program],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, begun, patience=60):
        deadline = time.monotonic() + patience
        while not (self.record.exists() and begun(Record(self.record))):
            assert time.monotonic() < deadline and self.launcher.poll() is None
            time.sleep(0.05)

    def signal_ranks(self, number):
        for file in self.folder.glob("pid.*"):
            os.kill(int(file.suffix[1:]), number)

    def end(self):
        """The exit status, the two outputs and the seconds until then."""
        began = time.monotonic()
        try:
            out, err = self.launcher.communicate(timeout=30)
        finally:
            self.launcher.kill()
        assert "Traceback" not in err, err
        return self.launcher.returncode, out, time.monotonic() - began


@pytest.mark.parametrize("to", ["ranks", "launcher"])
def test_a_run_without_evaluations_ends_in_seconds_with_its_last_model(mpirun, tmp_path, to):
    run = Run(mpirun, tmp_path)
    run.wait_for(lambda record: record.cases)
    time.sleep(1)
    if to == "ranks":
        run.signal_ranks(signal.SIGTERM)
    else:
        run.launcher.send_signal(signal.SIGUSR1)
    status, out, seconds = run.end()
    assert status == 130 and seconds < 10
    assert out == "interrupted; the record holds what there is, and the same command goes on\n"
    (case,) = Record(run.record).cases.values()
    assert case.attributes["status"] == "interrupted" and case.attributes["valid"]
    assert len(case["loss"]) == 2 and case["round"][1] == case.ledger["round"].max() + 1
    assert case["loss"][1] < case["loss"][0]
    agreed = case.ledger[(case.ledger["purpose"] == b"control") & (case.ledger["count"] == 2)]
    first, second = (agreed[agreed["rank"] == rank]["round"].tolist() for rank in (0, 1))
    assert first == second and 4 < len(first) < 60


def test_a_run_ends_in_its_setup(mpirun, tmp_path):
    run = Run(mpirun, tmp_path, SLOW_SETUP)
    run.wait_for(lambda record: True)
    time.sleep(0.5)
    run.launcher.send_signal(signal.SIGUSR1)
    status, _, seconds = run.end()
    assert status == 130 and seconds < 10
    assert Record(run.record).attributes["status"] == "interrupted"


def test_a_second_signal_ends_a_run_that_hangs_and_keeps_the_case(mpirun, tmp_path):
    run = Run(mpirun, tmp_path, HANG)
    run.wait_for(lambda record: record.cases and len(next(iter(record.cases.values()))) >= 0)
    time.sleep(0.5)
    run.signal_ranks(signal.SIGTERM)
    time.sleep(0.5)
    run.signal_ranks(signal.SIGTERM)  # an echo of the first one
    time.sleep(1)
    assert run.launcher.poll() is None
    run.signal_ranks(signal.SIGTERM)
    status, _, seconds = run.end()
    assert status != 0 and seconds < 10
    record = Record(run.record)
    (case,) = record.cases.values()
    assert record.attributes["status"] == case.attributes["status"] == "interrupted"
    assert case["round"].tolist() == [0]


@pytest.mark.parametrize("module", ["numpy", "mpi4py", "h5py"])
def test_a_signal_while_a_run_starts_ends_it_without_a_traceback(mpirun, tmp_path, module):
    run = Run(mpirun, tmp_path, AT_IMPORT.replace("MODULE", module))
    status, out, _ = run.end()
    assert status != 0 and "record" not in out and not run.record.exists()
