"""What the compressors' benches sort by."""

from math import isqrt

from mpi_lowrank.choice import Choice
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.discrete import DiscreteFactors
from mpi_lowrank.compressors.tensors import Tensors

FAMILIES = ("dense", "sparse", "rounded", "low rank", "low rank, coarse factors")

_DENSE = {"identity", "dense"}
_SPARSE = {"sparse", "sparsification", "permutation"}  # modules


def family(choice: Choice) -> str:
    """The family that a compressor is drawn and listed with."""
    kind = compressors[choice.name]
    if choice.name in _DENSE:
        return "dense"
    if issubclass(kind, DiscreteFactors):
        return "low rank, coarse factors"
    if kind.per_block or issubclass(kind, Tensors):
        coarse = choice.then is not None and choice.then.name not in _DENSE
        return "low rank, coarse factors" if coarse else "low rank"
    if kind.__module__.rpartition(".")[2] in _SPARSE or choice.name == "shared_randk":
        return "sparse"
    return "rounded"


def one_line(choice: Choice) -> str:
    """The choice as it is written on a command line: topk:k=8+natural."""
    stage = str(Choice(choice.name, choice.options)).replace("(", ":").removesuffix(")")
    return f"{stage}+{one_line(choice.then)}" if choice.then else stage


def tensor_shape(*sizes: int) -> tuple[int, ...]:
    """Each size split into two that are as equal as can be; ones are left out: 64, 10 are 8x8x2x5.

    (2, 5) for (10,), so that there are two at least.
    """
    halves = [next(n for n in range(isqrt(size), 0, -1) if size % n == 0) for size in sizes]
    split = [n for half, size in zip(halves, sizes, strict=True) for n in (half, size // half)]
    kept = tuple(n for n in split if n > 1)
    return kept if len(kept) > 1 else (1, *kept)
