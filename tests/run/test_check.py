"""What a case will keep from round to round is known before it runs."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from admitted import admits

from mpi_lowrank import config
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.datasets import load
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.problems import problems
from mpi_lowrank.registry import Choice
from mpi_lowrank.run.assembly import assemble, channels, ground
from mpi_lowrank.run.check import check, planned

CASE = """
workers = 3
rounds = 1
stepsize = 0.1
dtype = "{dtype}"
topology = "{topology}"
problem = {{ name = "matrix", shape = [{shape}] }}
[[cases]]
method = {method}
compressor = "{spec}"
"""

EIGEN = ', hessian = "eigen:rank=2", mu = 0.1'

OPTIONS = {
    "EF21-BC": ', downlink = "rsvd:rank=1"',
    **{name: EIGEN + ', h0 = "exact"' for name in ("FedNL", "FedNL-LS", "FedNL-PP")},
    "FedNL-BC": EIGEN + ', downlink = "topk:k=5"',
}


def only_case(method, spec, dtype="float64", shape="6, 4"):
    text = CASE.format(
        dtype=dtype,
        topology="server" if methods[method].needs_server else "allgather",
        shape=shape,
        method=f'{{ name = "{method}"{OPTIONS.get(method, "")} }}',
        spec=spec,
    )
    (case,) = config.parse(text, Path("some.toml")).cases
    return case


def kept(case, placement):
    kind = problems[case.problem.name]
    blocks = kind.model(None, kind.filled(case.problem.arguments()))
    made = channels(case, blocks, placement.total)
    return planned(case, placement, blocks, made)[1]


def described(state):
    return [(e.name, e.array.shape, e.array.dtype, e.per_worker) for e in state]


SPECS = ("topk:k=3", "powersgd:rank=2", "alternating", "svd:rank=1+natural")
UNBIASED = ("natural", "permk:copies=2")


def pairs():
    for method, spec in product(methods.names(), SPECS + UNBIASED):
        if not methods[method].needs_compressor:
            yield method, "identity"
        elif admits(method, spec):
            yield method, spec
    yield "EF21", "followed_kronecker"


@pytest.mark.parametrize(("method", "spec"), sorted(set(pairs())))
def test_what_is_planned_is_what_a_run_keeps(method, spec):
    case, door = only_case(method, spec), Door(Alone())
    made = assemble(case, ground(case, door), door)
    plan = kept(case, Placement(3, 1, 0))
    listed = [
        [(e.name, e.array.shape, e.array.dtype) for e in state] for state in (made.state, plan)
    ]
    assert listed[0] == listed[1] and plan.nbytes == made.state.nbytes


def test_a_rank_keeps_a_g_i_per_worker_of_its_own():
    case, traffic = only_case("EF21", "topk:k=3", "float32"), 4 * 8 + 1
    assert kept(case, Placement(3, 1, 0)).nbytes == 4 * (2 + 3) * 24 + traffic  # x, g, g_i
    assert kept(case, Placement(3, 2, 0)).nbytes == 4 * (2 + 2) * 24 + traffic
    assert kept(case, Placement(3, 2, 1)).nbytes == 4 * (2 + 1) * 24 + traffic


def test_a_problem_without_second_derivatives_is_refused_before_anything_runs():
    text = """
    problem = "mlp"
    stepsize = 1.0
    rounds = 1
    [[cases]]
    method = { name = "FedNL", hessian = "eigen" }
    """
    (case,) = config.parse(text, Path("some.toml")).cases
    with pytest.raises(UserError, match="FedNL needs second derivatives, which problem mlp does n"):
        check(case, Placement(3, 1, 0), load("digits"), 10**9)


def test_a_downlink_that_needs_all_workers_messages_is_refused_before_anything_runs():
    case = only_case("EF21-BC", "topk:k=3")
    followed = {"downlink": read_spec("followed_kronecker")}
    case = replace(case, method=Choice("EF21-BC", followed))
    with pytest.raises(OptionError, match="a broadcast has no others to hear"):
        kept(case, Placement(3, 1, 0))


def test_hessians_that_do_not_fit_are_refused_before_anything_runs():
    case, needed = only_case("FedNL-LS", "identity", shape="40, 40"), 3 * 1600**2 * 8
    with pytest.raises(UserError, match="3 workers on 1 ranks and a model of W 40x40"):
        check(case, Placement(3, 1, 0), None, needed)


def test_a_state_that_does_not_fit_is_refused_before_anything_runs():
    case, alone = only_case("EF21", "topk:k=3", shape="60, 40"), Placement(3, 1, 0)
    needed = 0
    while True:
        try:
            check(case, alone, None, needed)
            break
        except UserError as error:
            told, needed = str(error), needed + 8 * 60 * 40
    assert "for the state of EF21 with topk(k=3)" in told


@pytest.mark.parametrize("spec", ["topk:k=3", "powersgd:rank=2"])
def test_what_theorems_are_compared_with_is_counted(spec):
    case, alone = only_case("EF21", spec, "float32", "60, 40"), Placement(3, 1, 0)
    vectors, heard = 3 * 2400, 2400 if spec.startswith("powersgd") else 3 * 2400
    kept = 4 * (vectors + heard) + 3  # and who spoke
    refused = refused_below(case, alone)
    assert refused_below(replace(case, theory=True), alone) == refused + kept
    door = Door(Alone())
    made = assemble(replace(case, theory=True), ground(case, door), door)
    noted = [e.array.nbytes for e in made.notes if e.name.startswith("exchange/")]
    assert sum(noted) == kept + 1  # and whether anybody has spoken yet


def refused_below(case, placement):
    """The least share of memory with which the case is let run, by bisection."""
    low, high = 0, 2**30
    while high - low > 1:
        share = (low + high) // 2
        try:
            check(case, placement, None, share)
            high = share
        except UserError:
            low = share
    return high


def test_batches_that_take_more_memory_than_there_is_are_refused():
    text = 'workers = 20\nstepsize = 0.1\n[[cases]]\nmethod = { name = "EF21-SGDM", batch = %d }\n'
    for batch, refused in (2**31, True), (32, False):
        (case,) = config.parse(text % batch + 'compressor = "topk:k=1"', Path("some.toml")).cases
        dataset = load("mushrooms")
        if refused:
            with pytest.raises(UserError, match=r"least 320 GiB of memory .* batches of EF21-SGDM"):
                check(case, Placement(20, 1, 0), dataset, 2**30)
        else:
            check(case, Placement(20, 1, 0), dataset, 2**30)
