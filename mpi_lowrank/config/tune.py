"""`stepsize = "tuned"`: the grid of steps, and the target and cost by which the best is found."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from mpi_lowrank.config.case import Case, Tune
from mpi_lowrank.errors import OptionError, one_of
from mpi_lowrank.problems import problems
from mpi_lowrank.text.options import COSTS

TUNED = "tuned"

FARTHEST = 16
"""The grid is 2^-16 to 2^16: multiples of 1/L, or numbers where a problem has no known L."""


def tuned(case: Case, where: str) -> Case:
    """The case with its `tune` complete if its stepsize is "tuned", without one if it is not.

    Raises OptionError where no target, or more than one, is told.
    """
    if case.stepsize != TUNED:
        return replace(case, tune=None)
    tune = case.tune or Tune()
    tune = replace(tune, target=tune.target or case.stop)
    if len(tune.target) != 1:
        allowed = "one metric and its value, as {grad_norm_sq = 1e-6}"
        raise OptionError(where + "tune.target", dict(tune.target) or None, allowed)
    if tune.by not in COSTS:
        raise OptionError(where + "tune.by", tune.by, one_of(COSTS, tune.by))
    return replace(case, tune=tune)


def candidates(case: Case) -> Iterator[Case]:
    """A case per step of the grid, from its middle outwards; other cases are their own."""
    if case.tune is None:
        yield case
        return
    smooth = problems[case.problem.name].smooth
    for power in sorted(range(-FARTHEST, FARTHEST + 1), key=lambda k: (abs(k), -k)):
        step = 2.0**power
        yield replace(case, stepsize=f"{step:.17g}/L" if smooth else step)


def units(cases: Sequence[Case] | Mapping[int, Case], numbers: Iterable[int]) -> list[list[int]]:
    """The numbers of these cases, those together that differ in tuned step and seed alone."""
    found: dict[str, list[int]] = {}
    for number in numbers:
        case = cases[number]
        alike = but_for_the_step(replace(case, seed=0)) if case.tune else str(number)
        found.setdefault(alike, []).append(number)
    return list(found.values())


def but_for_the_step(case: Case) -> str:
    """The same for all steps that a tuned case may take."""
    return repr(replace(case, stepsize=None, label=""))
