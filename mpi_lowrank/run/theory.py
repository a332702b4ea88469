"""What theorems promise of a run, beside what came of it: for cases with `theory`.

Rows lie between a step and the next exchange: there are x^t and the g_i^{t-1}. The theorem's G^t =
mean |g_i^t - grad f_i(x^t)|^2 is at most 1 - alpha of the G that a row has. With that in place of
G^t the Lyapunov function is never below the theorem's, and falls by gamma/2 |grad f|^2 a round all
the same: the proof bounds it on the way. So sum |grad f|^2 is at most 2 Psi^0 / gamma, over all
rounds, and over those that have a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from ml_dtypes import finfo

from mpi_lowrank.compressors.base import Operator, coarsest
from mpi_lowrank.config import Case
from mpi_lowrank.exchange import Witnessed
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Constants, Guarantee, Method
from mpi_lowrank.problems.base import Problem
from mpi_lowrank.record import THEORY
from mpi_lowrank.registry import Choice
from mpi_lowrank.rounds.state import State
from mpi_lowrank.run.evaluation import Evaluator, Measures
from mpi_lowrank.run.stepsize import theory

PURPOSE = "evaluation"


@dataclass(frozen=True)
class Outcome:
    """Of one row; the same bits on every rank. NaN is what has no meaning."""

    realised_alpha: float
    realised_alpha_mean: float
    estimate_error: float
    lyapunov: float
    grad_bound: float
    excess: float
    """By how much |C(v) - v| / |v| exceeds what alpha and round-off allow; the worst worker's."""
    round_off: float
    """By how much that may raise the Lyapunov function in a round."""

    def columns(self) -> dict[str, float]:
        """The values of THEORY, as the record has them."""
        return {name: getattr(self, name) for name in THEORY}


class Theory:
    """Measures it; collective, outside the method's clock. The method's results are not touched."""

    def __init__(
        self,
        theorem: Theorem | None,
        exchange: Witnessed,
        compressor: Operator,
        method: Method,
        evaluate: Evaluator,
        notes: State,
    ):
        self.theorem, self._realised = theorem, Realised(exchange, compressor)
        self._exchange, self._compressor = exchange, compressor
        self._method, self._evaluate = method, evaluate
        self._start = notes.within("theory").array("Psi^0")
        self._errors, self._sum = np.zeros((exchange.placement.local, 1)), np.zeros(1)

    @property
    def alpha(self) -> float | None:
        """What every exchange owes to its alpha; None where that is a mean over draws, or none."""
        compressor = self._compressor
        return compressor.alpha if compressor.deterministic else None

    @property
    def start(self) -> float:
        """Psi^0, once round 0's row is measured."""
        return float(self._start)

    def __call__(self, measures: Measures, done: int) -> Outcome:
        """Of the model that was just evaluated, after `done` rounds."""
        realised, error, theorem = self._realised(), self._estimate_error(), self.theorem
        if theorem is None:
            return Outcome(*realised[:2], error, np.nan, np.nan, realised[2], np.nan)
        lyapunov = theorem.lyapunov(measures.loss, error, done)
        if done == 0:
            self._start[()] = lyapunov
        return Outcome(
            *realised[:2],
            estimate_error=error,
            lyapunov=lyapunov,
            grad_bound=theorem.bound(self.start, done),
            excess=realised[2],
            round_off=theorem.round_off(measures, error, self._method.x),
        )

    def attributes(self) -> dict[str, object]:
        """Of the record's case: of what the theorem speaks, and what f is taken to be above."""
        theorem = self.theorem
        told = theorem.told if theorem else "none"
        return {"guarantee": told, "f_inf": theorem.f_inf if theorem else None}

    def put_away(self) -> None:
        """What is not yet in the case's notes goes there; nothing is communicated."""
        self._exchange.put_away()

    def _estimate_error(self) -> float:
        """G."""
        estimates, evaluate = self._method.gradient_estimates(), self._evaluate
        if estimates is None:
            return np.nan
        if estimates.ndim == 1:
            gap = estimates - evaluate.gradient
            return float(gap @ gap)
        gaps = estimates - evaluate.worker_gradients
        np.einsum("wd,wd->w", gaps, gaps, out=self._errors[:, 0])
        total = self._exchange.placement.total
        self._exchange.door.exact_sum(self._errors, self._sum, total, PURPOSE)
        return float(self._sum[0] / total)


@dataclass(frozen=True)
class Theorem:
    """A method's guarantee at the case's stepsize."""

    guarantee: Guarantee
    gamma: float
    proved_gamma: float
    """The theory's stepsize."""
    f_inf: float
    slack: float
    """The relative round-off of what is sent."""
    eps: float
    """That of the state."""

    @classmethod
    def of(
        cls,
        case: Case,
        problem: Problem,
        constants: Constants,
        operators: tuple[Operator, Operator],
        gamma: float,
    ) -> Theorem | None:
        """The case's, None where there is none; `operators`: its compressor, and the dense one."""
        kind, compressor = methods[case.method.name], operators[0]
        speaks = "guarantee" in vars(kind) and case.step == Choice("plain") and problem.smooth
        if not speaks or problem.f_inf is None or not constants.L > 0:
            return None
        guarantee = kind.guarantee(compressor, kind.filled(case.method.arguments()))
        if guarantee is None:
            return None
        dtype, proved = np.dtype(case.dtype), theory(case, constants, compressor)
        sent = slack(operators, dtype, len(constants.L_i))
        return cls(guarantee, gamma, proved, problem.f_inf, sent, float(np.finfo(dtype).eps))

    @property
    def proved(self) -> bool:
        """Whether it speaks of the case's stepsize; rounded to the state's dtype it may be more."""
        return self.gamma <= self.proved_gamma * (1 + 1e-6)

    @property
    def certain(self) -> bool:
        """Whether it speaks of every run, not of the mean over draws alone."""
        return self.proved and self.guarantee.certain

    @property
    def told(self) -> str:
        """Of what it speaks."""
        if not self.proved:
            return f"a smaller stepsize, {self.proved_gamma:.6g}"
        return "every run" if self.certain else "the mean over draws"

    def lyapunov(self, loss: float, error: float, done: int) -> float:
        """What Psi is at most after the next exchange."""
        guarantee = self.guarantee
        left = 1 - (guarantee.alpha if done else guarantee.first)
        return loss - self.f_inf + (self._weight * left * error if left else 0.0)

    def bound(self, start: float, done: int) -> float:
        """On the mean of |grad f|^2 over these rounds."""
        return 2 * start / (min(self.gamma, self.proved_gamma) * done) if done else np.nan

    def round_off(self, measures: Measures, error: float, x: np.ndarray) -> float:
        """By how much a round's may raise the Lyapunov function.

        An exchange leaves sqrt(1 - alpha) |v| and what round-off adds: of v on the wire, of g_i in
        the state. f errs by the state's round-off of itself and of x.
        """
        scale, s = measures.worker_norm, sqrt(1 - self.guarantee.alpha)
        size = sqrt(error) if np.isfinite(error) else scale
        added = self.slack * (size + scale)
        of_f = 100 * self.eps * (abs(measures.loss) + scale * float(np.linalg.norm(x)))
        return self._weight * (2 * s * size + added) * added + of_f

    @property
    def _weight(self) -> float:
        return self.gamma / (2 * self.guarantee.theta)


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


def slack(operators: Sequence[Operator], dtype: np.dtype, workers: int) -> float:
    """The relative round-off of what is sent through them, and added up where it is Allreduced."""
    eps = max(float(finfo(kind).eps) for kind in (coarsest(operators), dtype))
    return (8 + workers * any(operator.shared for operator in operators)) * eps


def _norms(rows):
    return np.linalg.norm(rows, axis=1)


def _over(values, sizes):
    """The quotients; 0 where a size is 0."""
    return np.divide(values, sizes, out=np.zeros_like(sizes), where=sizes > 0)
