"""The check before a run: every component of a case is made once, on one rank, without its data."""

import numpy as np

from mpi_lowrank.compressors.base import Compressor, Operator
from mpi_lowrank.config import Case
from mpi_lowrank.datasets import Dataset, assign
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.exchange import Exchange, Witness
from mpi_lowrank.machine.clock import Clock
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Constants, Method
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Block
from mpi_lowrank.problems.batch import Batch
from mpi_lowrank.registry import Choice
from mpi_lowrank.rounds.state import State
from mpi_lowrank.run import footprint, repair
from mpi_lowrank.run.assembly import Channels, Functions, channels, make_method
from mpi_lowrank.run.components import make_operator
from mpi_lowrank.run.stepsize import theory
from mpi_lowrank.steps import steps
from mpi_lowrank.steps.base import Step
from mpi_lowrank.text.spelling import spell

ROW_NUMBER = np.dtype(np.intp).itemsize


def check(case: Case, placement: Placement, dataset: Dataset | None, share: int) -> None:
    """Raise UserError for a case that cannot run, or needs more than `share` bytes per rank."""
    key = "problem."
    try:
        kind = problems[case.problem.name]
        blocks = kind.model(dataset, kind.filled(case.problem.arguments()))
        key = ""
        least = _check_memory(case, placement, blocks, dataset, share)
        key = "compressor."
        made = channels(case, blocks, placement.total)
        _check_messages(made, placement, share)
        key = "step."
        _check_options(steps[case.step.name], case.step)
        key = "method."
        _check_options(methods[case.method.name], case.method)
        if case.stepsize is None:
            theory(case, _any_constants(placement), made.compressor)
        drawn = placement.local * (case.method.arguments().get("batch") or 0) * ROW_NUMBER
        footprint.check(least + drawn, share, f"the rows of batches of {case.method}")
        method, state = planned(case, placement, blocks, made)
        kept = least + state.nbytes
        footprint.check(kept, share, f"the state of {case.method} with {case.compressor}")
        if case.theory:
            kept += _witnessed(case, made, placement)
            footprint.check(kept, share, "what is measured with theory = true")
        if case.sync_every:
            sent = _repaired(case, method, placement)
            footprint.check(kept + sent, share, f"repairs, sync_every = {case.sync_every}")
    except OptionError as error:
        raise OptionError(key + error.option, error.value, error.allowed) from error


def _check_memory(
    case: Case,
    placement: Placement,
    blocks: tuple[Block, ...],
    dataset: Dataset | None,
    share: int,
) -> int:
    """The bytes per rank that any method needs for this model and these data."""
    local, total, itemsize = placement.local, placement.total, np.dtype(case.dtype).itemsize
    shards = assign(dataset.labels, case.data, total, case.seed)[0] if dataset else []
    longest = max(map(len, shards), default=0)
    kind = problems[case.problem.name]
    options = kind.filled(case.problem.arguments())
    needed = footprint.rows([shape for _, shape in blocks], local, total, itemsize)
    needed += kind.footprint(blocks, local, longest, itemsize, options)
    if methods[case.method.name].needs_hessians:
        _check_hessians(case)
        needed += kind.hessian_footprint(blocks, local, longest, itemsize)
    what = f"{total} workers on {placement.ranks} ranks and a model of "
    what += " + ".join(f"{block.name} {spell(block.shape)}" for block in blocks)
    footprint.check(needed, share, what)
    return needed


def _check_hessians(case: Case) -> None:
    if not problems[case.problem.name].has_hessians:
        given = [name for name in problems.names() if problems[name].has_hessians]
        raise UserError(
            f"method {case.method.name} needs second derivatives, which problem "
            f"{case.problem.name} does not give; take one of {', '.join(given)}"
        )


def _check_messages(made: Channels, placement: Placement, share: int) -> None:
    local, total = placement.local, placement.total
    operators = made.compressor, made.dense
    needed = sum(footprint.messages(operator, local, total) for operator in operators)
    footprint.check(needed, share, f"messages of {total} workers")


def _witnessed(case: Case, made: Channels, placement: Placement) -> int:
    """Bytes of the last vectors and messages, kept for who compares them."""
    notes = State(placement.local, np.float64, planned=True)
    Witness.kept_in(notes, made.compressor, np.dtype(case.dtype))
    return notes.nbytes


def _repaired(case: Case, method: Method, placement: Placement) -> int:
    """Bytes of the messages by which a repair sends every worker's g_i."""
    size, sent = repair.numbers(method), repair.whole(np.dtype(case.dtype))
    if not size:
        return 0
    sender = make_operator(sent, (size,), case.dtype, placement.total)
    return footprint.messages(sender, placement.local, placement.total)


def _check_options(kind: type[Method] | type[Step], choice: Choice) -> None:
    kind.check(kind.filled(choice.arguments()))


def _any_constants(placement: Placement) -> Constants:
    """Stand in for the problem's, which cannot be known without its data."""
    return Constants(1.0, np.ones(placement.total), mu=1.0)


def _no_gradients(x: np.ndarray, batch: Batch | None = None) -> np.ndarray:
    raise RuntimeError("a method is made before there are gradients")


class _Planned(Exchange):
    """An exchange without buffers: compressors only say what they remember."""

    def prepare(self, compressor: Operator, name: str = "uplink") -> None:
        compressor.remember(self.state.within(name))

    def prepare_broadcast(self, compressor: Compressor, name: str = "downlink") -> None:
        compressor.remember(self.state.within(name))


def planned(
    case: Case, placement: Placement, blocks: tuple[Block, ...], made: Channels
) -> tuple[Method, State]:
    """The method, and names and sizes of what it keeps from round to round here; no memory."""
    dtype, d = np.dtype(case.dtype), sum(int(np.prod(shape)) for _, shape in blocks)
    state, model = (State(placement.local, dtype, planned=True) for _ in range(2))
    exchange = _Planned(Door(Alone()), placement, Clock(), dtype, state=state)
    exchange.prepare(made.compressor, "uplink")
    exchange.prepare(made.dense, "whole")
    samples, x0 = np.ones(placement.local, int), model.array("x", d)
    constants = _any_constants(placement)
    none = _no_gradients
    functions = Functions(blocks, samples, none, none, none, constants)
    return make_method(case, functions, made, exchange, state, x0, 1.0), state
