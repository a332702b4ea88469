"""What a method asks of the problem, on its clock; what an evaluation computed is used again."""

from functools import cached_property
from time import perf_counter

import numpy as np

from mpi_lowrank.machine.clock import Clock
from mpi_lowrank.problems.base import Problem
from mpi_lowrank.problems.batch import Batch


class Gradients:
    """grad f_i(x) of the local workers, (workers, d) in the state's dtype; overwritten each time.

    An evaluation after round t and the method in round t + 1 ask at the same x. The evaluation
    computes and holds the gradients; the method's next call, at the same x, gets them, and its
    clock is charged the seconds that this rank took for them. At another x it computes anew.
    """

    def __init__(self, problem: Problem, workers: int, dtype: np.dtype, clock: Clock):
        self._problem, self._clock = problem, clock
        self._values = np.zeros((workers, problem.d), dtype)
        self._x, self._same = np.zeros(problem.d, dtype), np.zeros(problem.d, bool)
        self._held, self._seconds = False, 0.0

    def evaluated(self, x: np.ndarray) -> np.ndarray:
        """The gradients at x (d,) for an evaluation, off the method's clock; held for its call."""
        if not self._holds(x):
            began = perf_counter()
            self._problem.gradients(x, self._values)
            self._seconds = perf_counter() - began
            self._x[...] = x
            self._held = True
        return self._values

    def __call__(self, x: np.ndarray, batch: Batch | None = None) -> np.ndarray:
        """The gradients for the method, on its clock; it may write into them.

        At x, one point (d,) or a point for each worker (workers, d), of all samples or of `batch`.
        """
        self._clock.lap("update")
        if batch is None and self._holds(x):
            self._clock.charge("gradient", self._seconds)
        else:
            self._problem.gradients(x, self._values, batch)
            self._clock.lap("gradient")
        self._held = False
        return self._values

    def _holds(self, x):
        same = self._held and x.ndim == 1 and np.equal(x, self._x, out=self._same).all()
        return bool(same)


class Hessians:
    """Second derivatives of the local f_i for the method, (workers, d, d); overwritten each time.

    The first call allocates them: most methods ask for none.
    """

    def __init__(self, problem: Problem, workers: int, dtype: np.dtype, clock: Clock):
        self._problem, self._clock = problem, clock
        self._shape, self._dtype = (workers, problem.d, problem.d), dtype

    @cached_property
    def _values(self) -> np.ndarray:
        return np.zeros(self._shape, self._dtype)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """At x, one point (d,) or a point for each worker (workers, d)."""
        self._clock.lap("update")
        self._problem.hessians(x, self._values)
        self._clock.lap("gradient")
        return self._values


class Losses:
    """f_i(x) of the local workers for the method, (workers,) float64; overwritten each time."""

    def __init__(self, problem: Problem, workers: int, clock: Clock):
        self._problem, self._clock = problem, clock
        self._values = np.zeros(workers)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """At x, one point (d,) or a point for each worker (workers, d)."""
        self._clock.lap("update")
        self._problem.losses(x, self._values)
        self._clock.lap("gradient")
        return self._values
