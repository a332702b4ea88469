"""The loop over rounds in one process, without MPI: who is told what, and when it ends."""

import sys
from pathlib import Path

import numpy as np
import pytest

from mpi_lowrank import config
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.run.assembly import assemble, ground
from mpi_lowrank.run.loop import Observer, run_rounds
from mpi_lowrank.run.stopping import Divergence, Schedule, Targets
from mpi_lowrank.run.watch import Replicas

CASE = """
workers = 3
loss_every = 100
problem = {{ name = "matrix", shape = [6, 4] }}
{}
[[cases]]
method = "EF21"
compressor = "topk:k=3"
"""


def assembled(text="rounds = 5\nevaluate_every = 2"):
    (case,) = config.parse(CASE.format(text), Path("some.toml")).cases
    door = Door(Alone())
    return assemble(case, ground(case, door), door)


class Told(Observer):
    """Notes all that it is told."""

    def __init__(self):
        self.events, self.rows = [], []

    def round_begun(self, t):
        self.events.append(f"begun {t}")

    def round_done(self, done):
        self.events.append(f"done {done}")

    def row_measured(self, row):
        self.events.append(f"row {row.done}")
        self.rows.append(row)

    def case_ended(self, verdict):
        self.events.append(verdict.status)


class Ends(Observer):
    """Ends a case with the row of a round, which it asks for."""

    def __init__(self, after, status):
        self.after, self.status = after, status

    def asks(self, done):
        return done == self.after

    def ends(self, row):
        return self.status if row.done >= self.after else None


def test_observers_are_told_in_order_what_happens():
    made, told = assembled(), Told()
    verdict = run_rounds(made, [told, Schedule(made.case)])
    assert verdict.status == "finished" and not verdict.reasons
    expected = ["row 0"]
    for t in range(5):
        expected += [f"begun {t}", f"done {t + 1}"] + [f"row {t + 1}"] * (t in (1, 3, 4))
    assert told.events == [*expected, "finished"]


def test_the_last_row_is_measured_whole_and_told_once():
    made, told = assembled(), Told()
    run_rounds(made, [told, Schedule(made.case)])
    assert [row.measures.whole for row in told.rows] == [True, False, False, True]
    assert [row.done for row in told.rows] == [0, 2, 4, 5]


def test_who_asks_for_a_row_gets_one_and_the_first_to_say_so_ends_the_case():
    made, told = assembled(), Told()
    verdict = run_rounds(made, [told, Ends(3, "diverged"), Ends(3, "interrupted")])
    assert verdict.status == "diverged" and told.events[-3:] == ["done 3", "row 3", "diverged"]
    assert told.rows[-1].measures.whole


def test_what_an_observer_does_not_define_is_not_called():
    """Not even the empty method of the contract: nothing is added to a round."""
    made, called = assembled(), []

    def trace(frame, event, argument):
        if event == "call" and frame.f_code.co_filename == Observer.round_done.__code__.co_filename:
            called.append(frame.f_code.co_qualname)

    sys.setprofile(trace)
    try:
        run_rounds(made, [Targets(made.case), Schedule(made.case)])
    finally:
        sys.setprofile(None)
    assert called.count("run_rounds") == 1
    assert not [name for name in called if name.startswith("Observer.")]


@pytest.mark.parametrize(("every", "last"), [(1, 3), (4, 4), (50, 10)])
def test_a_case_whose_x_is_lost_ends_with_its_next_row_or_within_ten_rounds(every, last):
    made, told = assembled(f"rounds = 50\nevaluate_every = {every}"), Told()

    class Loses(Observer):
        def round_begun(self, t):
            made.method.x[0] = np.nan if t >= 2 else 0

    replicas = Replicas(made.method, made.door)
    observers = [Loses(), told, replicas, Divergence(replicas), Schedule(made.case)]
    with np.errstate(invalid="ignore"):
        assert run_rounds(made, observers).status == "diverged"
    assert told.events[-3:] == [f"done {last}", f"row {last}", "diverged"]


@pytest.mark.parametrize("target", [1e9, 1e-300])
def test_a_target_is_met_by_the_first_row_or_not_at_all(target):
    made, told = assembled(f"rounds = 5\nstop = {{ grad_norm_sq = {target} }}"), Told()
    assert run_rounds(made, [told, Targets(made.case), Schedule(made.case)]).status == "finished"
    assert told.rows[-1].done == (0 if target > 1 else 5)


def test_two_assemblies_of_a_case_give_the_same_bits():
    ends = []
    for _ in range(2):
        made = assembled()
        run_rounds(made, [Schedule(made.case)])
        ends.append(made.method.x.tobytes())
    assert ends[0] == ends[1]


def test_only_who_asks_for_a_row_gets_one_and_after_all_were_told_of_the_round():
    made, told = assembled(), Told()
    run_rounds(made, [Ends(1, "finished"), told])
    assert told.events == ["row 0", "begun 0", "done 1", "row 1", "finished"]
