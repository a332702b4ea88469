"""Which compressors a method works with, for tests that walk all methods."""

from mpi_lowrank.config.options import read_spec
from mpi_lowrank.errors import UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.run.components import make_operator


def admits(method: str, spec: str, d: int = 112, workers: int = 3) -> bool:
    """Whether the method may be run with the compressor of that specification."""
    kind, operator = methods[method], make_operator(read_spec(spec), (d,), "float64", workers)
    try:
        kind.admit(operator)
    except UserError:
        return False
    return not (kind.needs_server and (operator.shared or operator.overhears))
