"""The minimum of a strongly convex f, to round-off: theorems of linear rates speak of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # scipy.optimize is loaded at its first use

from mpi_lowrank.door import Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.problems.base import Problem

MOST = 1000
"""Evaluations, at most."""
NEAR = 1000
"""Round-offs of f, by which the minimum may be off."""


@dataclass(frozen=True)
class Minimum:
    """The same bits on any number of ranks."""

    x: np.ndarray
    """x*, (d,)."""
    f: float
    gradients: np.ndarray
    """The local grad f_i(x*), (workers, d) float64."""


def minimum(
    problem: Problem, mu: float, door: Door, placement: Placement, dtype: np.dtype
) -> Minimum | None:
    """Collective: by SciPy's L-BFGS, whose steps are the same on all ranks.

    None where f has not come within its round-off of f*: it is at most |grad f|^2 / (2 mu) above.
    x is of the `dtype`. That f is above f*, not below, breaks no bound on f - f*.
    """
    workers, total = placement.local, placement.total
    rows, means = np.zeros((workers, problem.d + 1)), np.zeros(problem.d + 1)
    gradients, losses = np.zeros((workers, problem.d), dtype), np.zeros(workers)

    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
        problem.gradients(x.astype(dtype), gradients)
        problem.losses(x.astype(dtype), losses)
        rows[:, 0], rows[:, 1:] = losses, gradients
        door.exact_sum(rows, means, total, "evaluation")
        f, *slopes = means / total
        return f, np.array(slopes)

    start, settings = problem.near_minimum(), {"ftol": 0, "gtol": 0, "maxcor": 20, "maxfun": MOST}
    way = {"jac": True, "method": "L-BFGS-B", "options": settings}
    first, x = evaluate(start)[0], scipy.optimize.minimize(evaluate, start, **way).x
    f, slope = evaluate(x)
    if not slope @ slope / (2 * mu) <= NEAR * np.finfo(dtype).eps * (abs(f) + first - f):
        return None
    return Minimum(x.astype(dtype).astype(float), float(f), rows[:, 1:].copy())
