"""From a case to its objects: for a run, for the check before it, for a bench.

`place` and `load_data` need only the case, `ground` makes what cases of one problem share, and
`assemble` the rest.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from mpi_lowrank.comm.agreement import Agreement
from mpi_lowrank.comm.distribute import distribute
from mpi_lowrank.comm.redistribute import redistribute
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, Operator
from mpi_lowrank.config import Case
from mpi_lowrank.datasets import Dataset, assign, load
from mpi_lowrank.datasets.local import LocalShards
from mpi_lowrank.door import Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.errors import OptionError
from mpi_lowrank.exchange import Exchange, Witnessed
from mpi_lowrank.machine.clock import PHASES, Clock
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Constants, Downlink, Method, Setting, Uplink
from mpi_lowrank.methods.base import Gradients as ModelGradients
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Block, Problem
from mpi_lowrank.problems.batch import Batches
from mpi_lowrank.registry import Choice
from mpi_lowrank.rounds.state import State
from mpi_lowrank.run.components import dense_beside, initial, make_compressor
from mpi_lowrank.run.evaluation import Evaluator
from mpi_lowrank.run.gradients import Gradients, Hessians, Losses
from mpi_lowrank.run.interruption import StopAgreed
from mpi_lowrank.run.repair import Repair
from mpi_lowrank.run.stepsize import stepsize
from mpi_lowrank.run.theorems import Theorems
from mpi_lowrank.run.theory import Theory
from mpi_lowrank.run.validity import check_gradient
from mpi_lowrank.steps import steps
from mpi_lowrank.steps.base import Step

Made = TypeVar("Made")

Together = Callable[[Callable[[], Made]], Made]
"""Carries out a function on every rank; if it raises on one, it raises on all."""


def alone(step: Callable[[], Made]) -> Made:
    """The `Together` of one process."""
    return step()


def place(case: Case, size: int, rank: int) -> Placement:
    """The case's workers on `size` ranks; one per rank unless the case says how many."""
    return Placement(case.workers or size, size, rank)


def data_name(case: Case) -> str | None:
    """The data set that the case works on; None where its problem needs none."""
    return case.data.name or problems[case.problem.name].default_data


def load_data(case: Case) -> Dataset | None:
    """The case's data set, read on this rank."""
    name = data_name(case)
    return None if name is None else load(name)


@dataclass(frozen=True)
class Channels:
    """A case's compressor, and the dense one with which it sends whole vectors."""

    compressor: Operator
    dense: Operator
    blocks: list[str]
    """A line per block of the model: how it is sent."""


def channels(case: Case, blocks: tuple[Block, ...], workers: int) -> Channels:
    """Make both for a model of these blocks; nothing is communicated, no buffers are made."""
    compressor, told = make_compressor(case.compressor, case.dtype, blocks, workers)
    dense, _ = make_compressor(dense_beside(case.compressor), case.dtype, blocks, workers)
    return Channels(compressor, dense, told)


def _uplink(case: Case, blocks: tuple[Block, ...], exchange: Exchange) -> Uplink:
    def make(
        name: str, choice: Choice | None = None, shape: tuple[int, ...] | None = None
    ) -> Operator:
        chosen, parts = choice or case.compressor, (Block(name, shape),) if shape else blocks
        compressor, _ = make_compressor(chosen, case.dtype, parts, exchange.placement.total)
        exchange.prepare(compressor, name)
        return compressor

    return make


def _downlink(case: Case, blocks: tuple[Block, ...], exchange: Exchange) -> Downlink:
    """Makes the compressor of a broadcast. Raises OptionError for one that cannot be broadcast."""

    def make(name: str, choice: Choice) -> Compressor:
        compressor, _ = make_compressor(choice, case.dtype, blocks, 1)
        if not isinstance(compressor, Compressor):
            allowed = "one that has messages: a server broadcasts, nothing is reduced"
            raise OptionError(name, str(choice), allowed)
        if compressors[choice.name].overhears:
            allowed = "one whose messages stand for themselves: a broadcast has no others to hear"
            raise OptionError(name, str(choice), allowed)
        exchange.prepare_broadcast(compressor, name)
        return compressor

    return make


@dataclass(frozen=True)
class Ground:
    """What cases of the same workers, data, problem, dtype and seed share, on this rank."""

    placement: Placement
    shards: LocalShards
    problem: Problem
    constants: Constants
    reasons: list[str]
    """Why the problem's gradient is wrong; empty if it is right."""


def _never() -> bool:
    return False


def ground(
    case: Case,
    door: Door,
    together: Together = alone,
    data: Callable[[Case], Dataset | None] = load_data,
    wished: Callable[[], bool] = _never,
) -> Ground:
    """Collective: deal out the data, make the problem, find its smoothness, check its gradient.

    `data`: what this rank has read of the case's data, rank 0 all of it or each rank its piece.
    Raises StopAgreed once `wished` is true on any rank.
    """
    placement, dtype = place(case, door.size, door.rank), np.dtype(case.dtype)
    shards = _shards(case, placement, door, together, data)
    kind, options = problems[case.problem.name], case.problem.arguments()
    problem = together(lambda: kind(shards, dtype, **options))
    constants = _constants(problem, placement, door, wished)
    reasons = check_gradient(door, problem, initial(case, problem), placement.local)
    return Ground(placement, shards, problem, constants, reasons)


def _shards(case, placement, door, together, data) -> LocalShards:
    if problems[case.problem.name].default_data is None:
        return LocalShards(placement.workers, placement.total, case.seed, workers=[])

    def assigned():
        dataset = data(case)
        if door.rank > 0:
            return dataset, None
        return dataset, assign(dataset.labels, case.data, placement.total, case.seed)

    dataset, rows = together(assigned)
    deal = redistribute if dataset is not None and dataset.held is not None else distribute
    return deal(door, placement, dataset, rows, case.seed, together)


def _constants(problem, placement, door, wished) -> Constants:
    agreement, calls = Agreement(door, wished), itertools.count()

    def mean(rows: np.ndarray) -> np.ndarray:
        call = next(calls)
        if agreement.due(call) and agreement.reach(call):
            raise StopAgreed
        total = np.zeros(rows.shape[1:])
        door.exact_sum(rows, total, placement.total, "setup")
        return total / placement.total

    smoothness = problem.smoothness(mean)
    L_i = np.zeros(placement.total)
    door.allgather(np.ascontiguousarray(smoothness.L_i, np.float64), L_i, placement.counts, "setup")
    negative = np.zeros(1)
    door.maximum(np.array([-smoothness.mu]), negative, "control")
    mu = float(-negative[0])
    return Constants(smoothness.L, L_i, mu, max(mu, smoothness.mu_f))


@dataclass(frozen=True)
class Assembly:
    """A case's objects on this rank."""

    case: Case
    ground: Ground
    state: State
    exchange: Exchange
    channels: Channels
    method: Method
    evaluate: Evaluator
    notes: State
    """What the run itself keeps from round to round: seconds, and the sums of observers."""
    repair: Repair | None
    """What the case repairs before some rounds, where it is to."""
    theory: Theory | None = None
    """What measures it, where the case asks for it."""

    @property
    def door(self) -> Door:
        return self.exchange.door

    @property
    def clock(self) -> Clock:
        return self.exchange.clock


def assemble(case: Case, ground: Ground, door: Door, together: Together = alone) -> Assembly:
    """Collective: make and allocate what the case runs on, and let MPI open its connections."""
    placement, dtype = ground.placement, np.dtype(case.dtype)
    state, ways = State(placement.local, dtype), (case.topology, case.reduction, case.seed)
    notes = State(placement.local, np.float64)
    clock = Clock(notes.of_rank("seconds", len(PHASES)))
    given = door, placement, clock, dtype, *ways, state
    exchange = Witnessed(*given, notes=notes) if case.theory else Exchange(*given)
    assembly = together(lambda: _assembly(case, ground, state, exchange, notes))
    exchange.warm_up()
    return assembly


def _assembly(case, ground, state, exchange, notes) -> Assembly:
    problem, placement = ground.problem, ground.placement
    made = channels(case, problem.blocks, placement.total)
    exchange.prepare(made.compressor, "uplink")
    exchange.prepare(made.dense, "whole")
    gradients = Gradients(problem, placement.local, exchange.dtype, exchange.clock)
    losses = Losses(problem, placement.local, exchange.clock)
    hessians = Hessians(problem, placement.local, exchange.dtype, exchange.clock)
    given = gradients, losses, hessians, ground.constants
    functions = Functions(problem.blocks, problem.samples, *given)
    x0, size = initial(case, problem), stepsize(case, ground.constants, made.compressor)
    method = make_method(case, functions, made, exchange, state, x0, size)
    evaluate = _evaluator(case, ground, exchange.door, gradients, notes, method.step)
    repair = _repair(case, problem.blocks, method, exchange, notes)
    theory = None
    if isinstance(exchange, Witnessed):
        theorems = Theorems.of(case, problem, ground.constants, method, exchange)
        theory = Theory(theorems, exchange, made.compressor, method, evaluate, notes)
    return Assembly(case, ground, state, exchange, made, method, evaluate, notes, repair, theory)


def _repair(case, blocks, method, exchange, notes) -> Repair | None:
    if not case.sync_every:
        return None
    ways = _uplink(case, blocks, exchange), _downlink(case, blocks, exchange)
    return Repair(case.sync_every, method, exchange, *ways, notes)


@dataclass(frozen=True)
class Functions:
    """The local workers' functions, as a method needs them: see `Setting`."""

    blocks: tuple[Block, ...]
    samples: np.ndarray
    gradients: ModelGradients
    losses: Callable[[np.ndarray], np.ndarray]
    hessians: Callable[[np.ndarray], np.ndarray]
    constants: Constants


def make_method(
    case: Case,
    functions: Functions,
    made: Channels,
    exchange: Exchange,
    state: State,
    x0: np.ndarray,
    stepsize: float,
) -> Method:
    """The case's method."""
    placement, step = exchange.placement, steps[case.step.name]
    workers, shapes = placement.workers, [block.shape for block in functions.blocks]

    def make_step(x: np.ndarray) -> Step:
        return step(x, stepsize, state.within("step"), shapes, **case.step.arguments())

    setting = Setting(
        gradients=functions.gradients,
        losses=functions.losses,
        hessians=functions.hessians,
        exchange=exchange,
        compressor=made.compressor,
        dense=made.dense,
        uplink=_uplink(case, functions.blocks, exchange),
        downlink=_downlink(case, functions.blocks, exchange),
        state=state,
        x0=x0,
        stepsize=stepsize,
        step=make_step,
        batches=lambda size: Batches(case.seed, workers, functions.samples, size),
        numbers=workers,
        constants=functions.constants,
        total=placement.total,
        samples=functions.samples,
        rounds=case.rounds,
        seed=case.seed,
    )
    return methods[case.method.name](setting, **case.method.arguments())


def _evaluator(case, ground, door, gradients, notes, step) -> Evaluator:
    shards, placement = ground.shards, ground.placement
    measured = ground.problem.measured()
    awaited = [*case.stop, *(case.tune.target if case.tune else ())]
    return Evaluator(
        ground.problem,
        gradients,
        door,
        placement.local,
        placement.total,
        rows=(shards.train_rows, shards.test_rows),
        loss_every=case.loss_every if all(measured[m].every_row for m in awaited) else 1,
        notes=notes,
        step=step,
    )
