"""The search for the best step, on costs that are known beforehand."""

from itertools import product
from math import inf, isfinite
from pathlib import Path

import numpy as np
import pytest

from mpi_lowrank import config
from mpi_lowrank.config.tune import FARTHEST, units
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.errors import UserError
from mpi_lowrank.run.assembly import assemble, ground
from mpi_lowrank.run.loop import run_rounds
from mpi_lowrank.run.resume import Step, format_plan
from mpi_lowrank.run.stopping import Schedule
from mpi_lowrank.run.tuning import Outcome, Outspent, Search

TUNED = """
workers = 2
stop = {{ grad_norm_sq = 1e-6 }}
seed = {seeds}
[[cases]]
method = "GD"
stepsize = "tuned"
"""


def tuned_cases(seeds):
    text = TUNED.format(seeds=list(range(seeds)))
    return dict(enumerate(config.parse(text, Path("some.toml")).cases))


def power(case):
    return round(np.log2(config.over_L(case.stepsize)))


def searched(cases, costs):
    """The powers in the order in which they were tried, and the search, after it is over."""
    search, tried = Search(cases), []
    for number in search.numbers():
        cost = costs[power(cases[number]), cases[number].seed]
        arrives = cost < search.limit
        search.outcomes[number] = Outcome(cost if arrives else inf, 1.0, cost == inf, not arrives)
        tried.append(power(cases[number]))
    return tried, search


@pytest.mark.parametrize("seeds", [1, 2, 3, 4])
def test_what_is_cut_or_left_out_never_changes_which_step_is_best(seeds):
    cases, generator = tuned_cases(seeds), np.random.default_rng(seeds)
    for best in (-11, -4, -1, 0, 2, 5, 13):
        spread = generator.uniform(0.3, 3.0, seeds)
        costs = {
            (k, seed): 10.0 * 1.2 ** abs(k - best) * spread[seed]
            for k, seed in product(range(-FARTHEST, FARTHEST + 1), range(seeds))
        }
        medians = {k: np.median([costs[k, s] for s in range(seeds)]) for k, _ in costs}
        tried, search = searched(cases, costs)
        told = {}
        for number, outcome in search.outcomes.items():
            told.setdefault(power(cases[number]), []).append(outcome.cost)
        found = min(told, key=lambda k: np.median(told[k]))
        assert found == min(medians, key=medians.get)
        assert sorted(told[found]) == sorted(costs[found, seed] for seed in range(seeds))
        assert set(tried) >= {min(2, found + 1), max(-2, found - 1), 0}
        assert len(set(tried)) <= 6 + abs(best)


def test_seeds_are_left_out_once_their_step_cannot_win():
    costs = {(k, seed): 1.0 if k == 0 else 5.0 for k in range(-16, 17) for seed in range(5)}
    tried, search = searched(tuned_cases(5), costs)
    assert tried == [0] * 5 + [1] * 3 + [-1] * 3 + [2] * 3 + [-2] * 3
    assert sum(isfinite(outcome.cost) for outcome in search.outcomes.values()) == 5


def test_the_grid_grows_downwards_while_all_steps_diverge():
    costs = {(k, 0): 7.0 if k <= -5 else inf for k in range(-16, 17)}
    tried, _ = searched(tuned_cases(1), costs)
    assert tried == [0, 1, -1, 2, -2, -3, -4, -5, -6]


def test_of_two_seeds_one_may_take_twice_what_the_best_step_does():
    costs = {(k, 0): 10.0 for k in range(-16, 17)} | {(k, 1): 10.0 for k in range(-16, 17)}
    costs |= {(1, 0): 1.0, (1, 1): 18.0}  # a mean of 9.5
    _, search = searched(tuned_cases(2), costs)
    assert {1.0, 18.0} <= {outcome.cost for outcome in search.outcomes.values()}


def test_a_share_has_whole_searches_and_a_label_takes_some_steps_alone():
    experiment = config.parse(TUNED.format(seeds=[0, 1]) + 'label = "mine"\n', Path("some.toml"))
    assert experiment.baseline == "mine stepsize=1/L seed=0"
    (unit,) = units(experiment.cases, experiment.chosen)
    assert len(unit) == 2 * (2 * FARTHEST + 1)
    assert config.select(experiment, shard="1/1").chosen == tuple(unit)
    with pytest.raises(UserError, match="take fewer shards"):
        config.select(experiment, shard="1/2")
    some = config.select(experiment, "mine stepsize=8/L *")
    cases = {number: experiment.cases[number] for number in some.chosen}
    assert searched(cases, {(3, 0): 1.0, (3, 1): 2.0})[0] == [3, 3]


def test_what_a_run_would_do_has_one_line_for_all_that_a_search_may_try():
    cases = list(tuned_cases(2).values())
    steps = {number: Step("run", reasons=[]) for number in range(len(cases))}
    steps |= {0: Step("stay", was="finished"), 1: Step("run", was="failed")}
    stays, again, searched = format_plan(steps, cases).splitlines()
    assert stays.split(maxsplit=2) == ["stays", "(finished)", "GD 1/L seed=0"]
    assert again.endswith("GD 2/L seed=0") and again.startswith("starts over (failed)")
    assert searched.split("  ")[0] == "a search may run 64 cases, as"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "tune.target is missing"),
        ("tune = { target = { grad_norm_sq = 1e-6, loss = 1 } }", "tune.target = "),
        ("tune = { target = { gradnorm = 1 } }", "tune.target.gradnorm = 1"),
        ("stop = { loss = 1 }\ntune = { by = 'bytes' }", "tune.by = bytes"),
        ("tune = 3", "tune = 3: allowed is a table"),
        ("tune = { until = 3 }", "tune.until = 3"),
        ("tune = { target = { test_accuracy = 1 } }", "needs data.test_fraction above 0"),
        ("stop = { loss = 1 }\nmultiple = 3", "either multiple or stepsize"),
        ('stepsize = "tunde"', "did you mean tuned?"),
    ],
)
def test_a_mistake_in_what_is_tuned_is_named(given, told):
    step = "" if "stepsize" in given else 'stepsize = "tuned"'
    text = f'[[cases]]\nmethod = "GD"\n{step}\n{given}\n'
    with pytest.raises(UserError) as caught:
        config.parse(text, Path("some.toml"))
    assert told in str(caught.value)


def test_steps_are_numbers_where_no_L_is_known_and_tune_is_dropped_where_nothing_is_tuned():
    text = 'problem = "mlp"\ntune = { target = { loss = 0.1 }, by = "rounds" }\n'
    text += '[[cases]]\nmethod = "GD"\nstepsize = ["tuned", 0.3]\n'
    *tuned, given = config.parse(text, Path("some.toml")).cases
    assert [case.stepsize for case in tuned[:3]] == [1.0, 2.0, 0.5]
    assert {case.tune.goal for case in tuned} == {("loss", 0.1)} and given.tune is None


@pytest.mark.parametrize("by", ["rounds", "uplink_bytes", "total_bytes"])
def test_a_case_is_cut_at_the_limit_unless_it_has_arrived(by):
    text = 'workers = 3\nrounds = 9\nproblem = { name = "matrix", shape = [6, 4] }\n'
    text += '[[cases]]\nmethod = "EF21"\ncompressor = "topk:k=3"\nstepsize = "tuned"\n'
    text += f'tune = {{ target = {{ grad_norm_sq = %s }}, by = "{by}" }}\n'
    ended = []
    for value in (1e-30, 1e30):
        case = config.parse(text % value, Path("some.toml")).cases[0]
        door = Door(Alone())
        made = assemble(case, ground(case, door), door)
        factor = {"rounds": 0.0, "uplink_bytes": 1.0}.get(by, 3.0)  # the others' messages come down
        sent = made.channels.dense.nbytes + 4 * made.channels.compressor.nbytes
        limit = factor * sent or 5
        outspent = Outspent(case.tune, limit, made.exchange, made.notes)
        verdict = run_rounds(made, [outspent, Schedule(case)])
        ended.append((verdict.status, door.round + 1))
    assert ended == [("stopped", 5), ("finished", 9)]
