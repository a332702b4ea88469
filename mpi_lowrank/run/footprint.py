"""The least memory that a case needs: too much is refused before it is allocated."""

from collections.abc import Iterable, Sequence
from math import prod

from mpi_lowrank.compressors.base import Operator
from mpi_lowrank.errors import UserError

MATRICES = 3
"""(workers, d) in the state's dtype: the gradients, and what others decoded of each of the two
compressors, the case's and the dense one beside it."""


def rows(shapes: Iterable[Sequence[int]], workers: int, total: int, itemsize: int) -> int:
    """Bytes that a rank with `workers` of the `total` needs for vectors of the model, at least."""
    d = sum(prod(shape) for shape in shapes)
    return workers * d * (MATRICES * itemsize + 8) + 8 * total


def messages(operator: Operator, workers: int, total: int) -> int:
    """Bytes of the messages that a rank sends in a round, and of all that it receives."""
    if operator.shared:
        return 0
    copies = 2 if operator.variable else 1  # with gaps and without
    return copies * operator.nbytes * (workers + total)


def check(needed: int, there: int, what: str) -> None:
    """Raise UserError where a rank needs more than there is for `what`."""
    if needed > there:
        raise UserError(
            f"takes at least {_size(needed)} of memory per rank for {what}; there is "
            f"{_size(there)}: take fewer workers, a smaller model or more ranks on more machines"
        )


def _size(nbytes: int) -> str:
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    power = min((nbytes.bit_length() - 1) // 10, len(units) - 1)
    return f"{nbytes / 1024**power:.3g} {units[power]}"
