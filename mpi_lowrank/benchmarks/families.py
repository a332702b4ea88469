"""What benches of compressors sort by."""

from math import isqrt

from mpi_lowrank.compressors import compressors
from mpi_lowrank.registry import Choice

FAMILIES = ("dense", "sparse", "rounded", "low rank", "low rank, coarse factors")

_SHORT = {
    "everything whole": "dense",
    "some coordinates": "sparse",
    "a few bits of each": "rounded",
    "factors of signs and zeros": "low rank, coarse factors",
}


def family(choice: Choice) -> str:
    """The family that a compressor is drawn and listed with: its own, factors by what they hold."""
    short = _SHORT.get(compressors[choice.name].family, "low rank")
    whole = choice.then is None or _SHORT.get(compressors[choice.then.name].family) == "dense"
    return short if whole or short != "low rank" else "low rank, coarse factors"


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
