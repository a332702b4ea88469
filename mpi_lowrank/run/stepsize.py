"""A case's stepsize: a number, a multiple of 1/L, or a multiple of the theory's."""

import numpy as np

from mpi_lowrank.compressors.base import Operator
from mpi_lowrank.config import Case, over_L
from mpi_lowrank.errors import OptionError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Constants


def multiple(case: Case) -> float | None:
    """What the theory's stepsize is multiplied by; None where the case names its stepsize."""
    return (case.multiple or 1.0) if case.stepsize is None else None


def theory(case: Case, constants: Constants, compressor: Operator) -> float:
    """The theory's stepsize. Raises UserError where there is none."""
    method = methods[case.method.name]
    options = method.filled(case.method.arguments())
    return method.theory_stepsize(constants, compressor, options)


def stepsize(case: Case, constants: Constants, compressor: Operator) -> float:
    """The case's stepsize. Raises OptionError if it is 0 or infinite in the state's dtype."""
    try:
        computed = _computed(case, constants, compressor)
    except ZeroDivisionError:  # L = 0: the gradient is the same everywhere
        computed = np.inf
    if not 0 < np.dtype(case.dtype).type(computed) < np.inf:
        times = multiple(case)
        key, given = ("stepsize", case.stepsize) if times is None else ("multiple", times)
        allowed = f"one that makes the stepsize a {case.dtype} above 0: it is {computed:g}"
        raise OptionError(key, given, allowed)
    return computed


def _computed(case, constants, compressor):
    if isinstance(case.stepsize, str):
        times = over_L(case.stepsize)
        assert times is not None  # or the configuration was refused
        return times / constants.L
    if case.stepsize is not None:
        return case.stepsize
    return (case.multiple or 1.0) * theory(case, constants, compressor)
