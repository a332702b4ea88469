"""What theorems promise of a run, beside what came of it: for cases with `theory`.

Rows lie between a step and the next exchange: there are x^t and the g_i^{t-1}. What an exchange
leaves of their errors is bounded by the same theorems, so a Lyapunov function of the errors before
it is never below the papers', which is of those after it, and falls all the same: the proofs bound
it on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np
from ml_dtypes import finfo

from mpi_lowrank.compressors.base import Operator
from mpi_lowrank.exchange import Witnessed
from mpi_lowrank.methods.base import Method
from mpi_lowrank.record import THEORY
from mpi_lowrank.rounds.state import State
from mpi_lowrank.run.evaluation import Evaluator, Measures
from mpi_lowrank.run.theorems import Linear, Theorem, Theorems, slack

PURPOSE = "evaluation"


@dataclass(frozen=True)
class Outcome:
    """Of one row; the same bits on every rank. NaN is what has no meaning."""

    realised_alpha: float
    realised_alpha_mean: float
    estimate_error: float
    lyapunov: float
    grad_bound: float
    linear_lyapunov: float
    linear_bound: float
    excess: float
    """By how much |C(v) - v| / |v| exceeds what alpha and round-off allow; the worst worker's."""
    allowances: tuple[float, float]
    """By how much round-off may raise the two Lyapunov functions in a round."""

    def columns(self) -> dict[str, float]:
        """The values of THEORY, as the record has them."""
        return {name: getattr(self, name) for name in THEORY}


class Theory:
    """Measures it; collective, outside the method's clock. The method's results are not touched."""

    def __init__(
        self,
        theorems: Theorems,
        exchange: Witnessed,
        compressor: Operator,
        method: Method,
        evaluate: Evaluator,
        notes: State,
    ):
        self.theorems, self._realised = theorems, Realised(exchange, compressor)
        self._exchange, self._compressor = exchange, compressor
        self._method, self._evaluate = method, evaluate
        self._starts = notes.within("theory").array("Psi^0", 2)

    @property
    def alpha(self) -> float | None:
        """What every exchange owes to its alpha; None where that is a mean over draws, or none."""
        compressor = self._compressor
        return compressor.alpha if compressor.deterministic else None

    @property
    def start(self) -> float:
        """Psi^0 of the descent, once round 0's row is measured."""
        return float(self._starts[0])

    def __call__(self, measures: Measures, done: int) -> Outcome:
        """Of the model that was just evaluated, after `done` rounds."""
        alpha, alpha_mean, excess = self._realised()
        falls, shrinks = self._told(measures, done)
        return Outcome(
            realised_alpha=alpha,
            realised_alpha_mean=alpha_mean,
            estimate_error=self._estimate_error(),
            lyapunov=falls.psi,
            grad_bound=falls.bound,
            linear_lyapunov=shrinks.psi,
            linear_bound=shrinks.bound,
            excess=excess,
            allowances=(falls.allowance, shrinks.allowance),
        )

    def attributes(self) -> dict[str, object]:
        """Of the record's case: of what the theorems speak, what f is taken to be above, and f*."""
        descent, linear = self.theorems
        return {
            "guarantee": descent.told if descent else "none",
            "f_inf": descent.floor if descent else None,
            "linear_guarantee": linear.told if linear else "none",
            "linear_factor": linear.factor if linear else None,
            "f_min": linear.minimum.f if linear else None,
        }

    def put_away(self) -> None:
        """What is not yet in the case's notes goes there; nothing is communicated."""
        self._exchange.put_away()

    def _told(self, measures: Measures, done: int) -> Iterator[_Told]:
        """Of each theorem; those of f speak of the same errors."""
        method, now = self._method, self._evaluate.worker_gradients
        of_f: np.ndarray | None = None
        for number, theorem in enumerate(self.theorems):
            if theorem is None:
                yield _Told(np.nan, np.nan, np.nan)
            elif isinstance(theorem, Linear) and theorem.floor is None:
                least = theorem.minimum
                gaps = method.gaps(done, now, least.gradients, self._mean)
                errors = self._squares([method.x - least.x, *gaps])
                yield self._of(theorem, errors, number, measures, done)
            else:
                if of_f is None:
                    of_f = self._squares(method.gaps(done, now, now, self._mean))
                yield self._of(theorem, of_f, number, measures, done)

    def _of(
        self, theorem: Theorem, errors: np.ndarray, number: int, measures: Measures, done: int
    ) -> _Told:
        psi = theorem.value(measures.loss, errors)
        if done == 0:
            self._starts[number] = psi
        allowance = theorem.allowance(measures, errors, self._method.x)
        return _Told(psi, theorem.bound(float(self._starts[number]), done), allowance)

    def _estimate_error(self) -> float:
        """G."""
        estimates, evaluate = self._method.gradient_estimates(), self._evaluate
        if estimates is None:
            return np.nan
        one = estimates.ndim == 1
        gap = estimates - (evaluate.gradient if one else evaluate.worker_gradients)
        return float(self._squares([gap])[0])

    def _squares(self, gaps: list[np.ndarray]) -> np.ndarray:
        """The square of each vector, and the mean over all workers of the rows' squares."""
        rows = [np.einsum("wd,wd->w", gap, gap) for gap in gaps if gap.ndim == 2]
        means = iter(self._mean(np.column_stack(rows)) if rows else ())
        return np.array([next(means) if gap.ndim == 2 else gap @ gap for gap in gaps])

    def _mean(self, rows: np.ndarray) -> np.ndarray:
        """Collective: over all workers, of the local rows (workers, k)."""
        total, out = self._exchange.placement.total, np.zeros(rows.shape[1])
        self._exchange.door.exact_sum(rows.astype(float, copy=False), out, total, PURPOSE)
        return out / total


class _Told(NamedTuple):
    """Of one theorem and row."""

    psi: float
    bound: float
    allowance: float


class Realised:
    """How much the last exchange through the case's own compressor contracted."""

    def __init__(self, exchange: Witnessed, compressor: Operator):
        self._exchange, self._door = exchange, exchange.door
        self._worst, self._sums = np.zeros(2), np.zeros(2)
        self._error = sqrt(1 - (compressor.alpha or 0))
        self._slack = slack([compressor], exchange.dtype, exchange.placement.total)
        smallest = finfo(compressor.precision).smallest_subnormal
        self._lost = float(smallest) * sqrt(compressor.d)
        """What is too small for the wire."""

    def __call__(self) -> tuple[float, float, float]:
        """Collective: alpha of the worst worker and in the mean, and the worst excess."""
        witness = self._exchange.witness()
        if witness is None:
            return np.nan, np.nan, np.nan
        vectors, heard, spoke = witness
        vectors = vectors.astype(float)
        sizes = _norms(vectors)
        if heard.ndim == 2:
            alphas, excess = self._alphas(vectors, heard, sizes)
            return self._of_all(alphas, excess, spoke)
        mean = np.zeros(heard.size + 1)
        total = self._exchange.placement.total
        self._door.exact_sum(np.column_stack([vectors, sizes]), mean, total, PURPOSE)
        (alpha,), (excess,) = self._alphas(mean[np.newaxis, :-1], heard[np.newaxis], mean[-1:])
        return float(alpha), float(alpha), float(excess)

    def _alphas(self, vectors, heard, rounded):
        """Of each row, and how far |C(v) - v| / |v| is above what is allowed.

        `rounded` is the size of what the wire rounds.
        """
        errors, sizes = _norms(heard - vectors), _norms(vectors)
        beyond = errors - self._error * sizes - self._slack * rounded - self._lost
        shares, excess = (_over(part, sizes) for part in (errors, beyond))
        return 1 - shares**2, excess

    def _of_all(self, alphas, excess, spoke):
        """Over those workers of all ranks who spoke."""
        door = self._door
        mine = [(values[spoke]).max(initial=-np.inf) for values in (-alphas, excess)]
        door.maximum(np.array(mine), self._worst, PURPOSE)
        rows = np.where(spoke, [alphas, np.ones(len(spoke))], 0).T
        door.exact_sum(rows, self._sums, self._exchange.placement.total, PURPOSE)
        if not self._sums[1]:
            return np.nan, np.nan, np.nan
        return float(-self._worst[0]), float(self._sums[0] / self._sums[1]), float(self._worst[1])


def _norms(rows):
    return np.linalg.norm(rows, axis=1)


def _over(values, sizes):
    """The quotients; 0 where a size is 0."""
    return np.divide(values, sizes, out=np.zeros_like(sizes), where=sizes > 0)
