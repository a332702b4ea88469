"""When a case's seconds are its own: on numbers, and on a machine whose cores all do other work."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest

from mpi_lowrank.machine.clock import KEPT, Clock
from mpi_lowrank.machine.disturbance import SUMMED, Disturbance, disturbances
from mpi_lowrank.record import Record

ALONE = {
    "host": "node1",
    "took": 4.0,
    "jump": 0.01,
    "cpu": 3.98,
    "computed": 2.5,
    "waited": 0.01,
    "stolen": 0.0,
    "switches": 900,
    "unevenness": 1.2,
}


def test_a_rank_alone_on_its_core_is_not_disturbed():
    assert disturbances([ALONE, ALONE]) == []


def test_a_case_without_rounds_is_not_disturbed():
    none = {"cpu": 0.001, "computed": 0.0, "took": 0.001, "waited": 0.0, "switches": 1}
    assert disturbances([ALONE | none]) == []


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"waited": 1.24}, "something else used a rank's processor for more than 25% of the time"),
        ({"waited": 0.21}, "something else used a rank's processor for more than 5% of the time"),
        ({"cpu": 1.4}, "a rank computed for more than 25% of the time without a processor"),
        ({"waited": None}, "a rank was taken off its processor more than 100 times a second"),
        ({"stolen": 2.4}, "the virtual machine was kept from a processor for more than 50% of"),
        ({"unevenness": 4.53}, "the mean round took more than 4 times the median one"),
        ({"jump": -2.0}, "the wall clock jumped by more than 1 s"),
        ({"waited": 3.0, "cpu": 0.1, "unevenness": 9.0}, "something else used a rank's processor"),
    ],
)
def test_what_disturbs_one_rank_is_named_with_its_host_and_figure(what, words):
    (reason,) = disturbances([ALONE, ALONE | what | {"host": "node2"}, ALONE])
    assert reason.startswith(f"node2: {words}")


def test_cases_that_are_disturbed_alike_share_a_reason():
    one, other = (disturbances([ALONE | {"waited": waited}]) for waited in (2.4, 3.1))
    assert one == other != disturbances([ALONE | {"waited": 1.1}])


def test_a_short_case_may_be_interrupted_as_often_as_a_second_allows():
    short = ALONE | {"took": 0.02, "cpu": 0.02, "computed": 0.01, "waited": None, "switches": 9}
    assert disturbances([short]) == []


def seconds_of_rounds(clock, seconds, monkeypatch):
    """Let rounds take these seconds on the clock."""
    now = 0.0
    monkeypatch.setattr("mpi_lowrank.machine.clock.perf_counter", lambda: now)
    for took in seconds:
        clock.resume()
        now += took
        clock.pause()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([9.0] + [1.0] * 30, 1.0),  # the first round makes what later ones reuse
        ([9.0] + [1.0, 1.0, 1.0, 5.0] * 10, 2.0),
        ([1.0] * 5 + [90.0], 1.0),  # too few to tell
        ([1.0] * 100 + [2.0] * KEPT, 1.0),  # the last ones are kept
    ],
)
def test_unevenness_is_the_mean_of_rounds_over_their_median(seconds, expected, monkeypatch):
    clock = Clock()
    seconds_of_rounds(clock, seconds, monkeypatch)
    assert clock.unevenness() == pytest.approx(expected)


def test_what_a_process_has_seen_adds_up():
    disturbance, clock = Disturbance(), Clock()
    clock.resume()
    while clock.total() < 0.05:
        clock.lap("gradient")
    clock.pause()
    seen = disturbance.seen(clock)
    assert 0.05 <= seen["computed"] <= seen["took"]
    assert 0 < seen["cpu"] <= seen["took"] + 0.001  # one clock is read after the other
    kept_away = seen["took"] - seen["cpu"]
    assert seen["waited"] is None or seen["waited"] <= 1.5 * kept_away + 0.005


def test_what_befell_a_case_before_a_pause_is_added_to_what_comes_after_it():
    before, clock = np.zeros(len(SUMMED)), Clock()
    disturbance = Disturbance(before)
    time.sleep(0.02)
    disturbance.note()
    noted = dict(zip(SUMMED, before, strict=True))
    disturbance.note()  # the same time is not noted twice
    assert 0.02 <= noted["took"] <= before[0] < 2 * noted["took"]
    later = Disturbance(before.copy()).seen(clock)
    assert before[0] < later["took"] and later["cpu"] < 0.02 and later["jump"] < 0.1


@contextmanager
def busy(processes):
    """So many processes that compute for nothing."""
    loop = [sys.executable, "-c", "while True: pass"]
    started = [subprocess.Popen(loop) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def wait_for(path, patience=60):
    deadline = time.monotonic() + patience
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_other_work_on_every_core_makes_seconds_invalid_and_says_how_much(tmp_path):
    text = 'workers = 4\nrounds = 1500\nevaluate_every = 1500\n[[cases]]\nmethod = "GD"\n'
    (tmp_path / "some.toml").write_text(text)
    command = [sys.executable, "-m", "mpi_lowrank", "run", "some.toml", "--out", "some.h5"]
    started = subprocess.Popen(command, cwd=tmp_path)
    wait_for(tmp_path / "some.h5")
    with busy(2 * len(os.sched_getaffinity(0))):
        assert started.wait(timeout=60) == 0
    (case,) = Record(tmp_path / "some.h5").cases.values()
    given = case.attributes
    assert given["valid"] and not given["timing_valid"]
    (reason,) = given["timing_reasons"]
    assert "a rank's processor for more than" in reason or "taken off its processor" in reason
