"""Makes what a case names: its compressor, the dense one beside it, its start."""

from collections.abc import Callable

import numpy as np

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Operator
from mpi_lowrank.compressors.composed.blocks import compress_blocks
from mpi_lowrank.compressors.composed.carrier import Carrier
from mpi_lowrank.compressors.wire.messages import check_size
from mpi_lowrank.config import Case
from mpi_lowrank.errors import OptionError
from mpi_lowrank.problems.base import Block, Problem
from mpi_lowrank.registry import Choice


def make_compressor(
    choice: Choice, dtype: str, blocks: tuple[Block, ...], workers: int
) -> tuple[Operator, list[str]]:
    """The compressor for a model of these blocks, and a line per block: how it is sent."""
    kind = compressors[choice.name]
    dense = Choice("dense" if kind.shared else "identity", _wire(choice))

    def make(shape: tuple[int, ...]) -> Operator:
        return make_operator(choice, shape, dtype, workers)

    def make_dense(shape: tuple[int, ...]) -> Operator:
        return make_operator(dense, shape, dtype, workers)

    whole, told = compress_blocks(blocks, kind, make, make_dense)
    if not whole.shared:
        check_size(whole.nbytes)
    return whole, told


def make_operator(choice: Choice, block: tuple[int, ...], dtype: str, workers: int) -> Operator:
    """The compressor for one block of that shape; `choice.then` sends the numbers it carries."""
    kind, options = compressors[choice.name], choice.arguments()
    if choice.then is not None:
        options["inner"] = _inner(choice, choice.then, dtype, workers)
    operator = kind(block, np.dtype(dtype), workers=workers, **options)
    if not operator.shared:
        check_size(operator.nbytes)
    return operator


def _inner(choice: Choice, then: Choice, dtype: str, workers: int) -> Callable[[int], Operator]:
    """Makes the compressor that sends so many numbers of `choice`."""
    if not issubclass(compressors[choice.name], Carrier):
        raise OptionError("compose", str(choice), "first one that sends chosen numbers: topk, svd")
    if compressors[then.name].shared:
        raise OptionError("compose", str(then), "then one that has messages, not an Allreduce")
    return lambda length: make_operator(then, (length,), dtype, workers)


def _wire(choice: Choice) -> dict[str, str]:
    """The wire option of a choice, for what is sent dense beside it."""
    return {"wire": choice.options["wire"]} if "wire" in choice.options else {}


def dense_beside(choice: Choice) -> Choice:
    """The compressor of whole vectors beside `choice`, of the same wire type.

    Beside a linear compressor they are Allreduced, as its coefficients are; else they are gathered.
    An Allreduce adds in the wire's precision, so its mean differs by round-off from the mean of
    what workers sent. That is right where only the mean counts, but not where each worker's
    estimate is kept as well.
    """
    return Choice("dense" if compressors[choice.name].linear else "identity", _wire(choice))


def initial(case: Case, problem: Problem) -> np.ndarray:
    """x^0, (d,), the same on every rank."""
    if case.x0 == "zeros":
        return np.zeros(problem.d, case.dtype)
    x = np.random.default_rng(case.seed).standard_normal(problem.d).astype(case.dtype)
    problem.scale_start(x)
    return x
