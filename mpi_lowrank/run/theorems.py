"""A method's theorems at a case's stepsize: what its Lyapunov functions are, and their bounds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np
from ml_dtypes import finfo

from mpi_lowrank.compressors.base import Operator, coarsest
from mpi_lowrank.config import Case
from mpi_lowrank.exchange import Witnessed
from mpi_lowrank.methods.base import Constants, Method
from mpi_lowrank.methods.guarantees import Guarantee
from mpi_lowrank.problems.base import Problem
from mpi_lowrank.registry import Choice
from mpi_lowrank.run.evaluation import Measures
from mpi_lowrank.run.minimum import Minimum, minimum


@dataclass(frozen=True)
class RoundOff:
    """Of the wire and of the state, relative."""

    sent: float
    state: float


@dataclass(frozen=True)
class Theorem(ABC):
    """Of Psi = f - `floor` + weights . errors; without a floor f is no part of it."""

    guarantee: Guarantee
    gamma: float
    limit: float
    """The largest stepsize of which it speaks."""
    weights: np.ndarray
    """(k,), one per error."""
    floor: float | None
    round_off: RoundOff

    @property
    def proved(self) -> bool:
        """Whether it speaks of the case's stepsize; rounded to the state's dtype it may be more."""
        return self.gamma <= self.limit * (1 + 1e-6)

    @property
    def certain(self) -> bool:
        """Whether it speaks of every run, not of the mean over draws alone."""
        return self.proved and self.guarantee.certain and self.floor is not None

    @property
    def told(self) -> str:
        """Of what it speaks."""
        if not self.proved:
            return f"a smaller stepsize, {self.limit:.6g}"
        return "every run" if self.certain else "the mean over draws"

    def value(self, loss: float, errors: np.ndarray) -> float:
        """Psi."""
        of_f = 0.0 if self.floor is None else loss - self.floor
        return of_f + float(self.weights @ errors)

    @abstractmethod
    def bound(self, start: float, done: int) -> float:
        """What it promises after `done` rounds from Psi^0, at the largest stepsize it speaks of."""

    def allowance(self, measures: Measures, errors: np.ndarray, x: np.ndarray) -> float:
        """By how much a round's round-off may raise Psi; NaN where f is no part of it.

        Round-off adds to every error: of what is sent on the wire, of g_i in the state. So it does
        to what of the errors reaches g, by which the step is off. f errs by that of itself and of
        x.
        """
        if self.floor is None:
            return np.nan
        scale = measures.worker_norm
        added = self.round_off.sent * (sqrt(errors.max(initial=0)) + scale)
        step = self.gamma / 2 * _more(self.guarantee.reach @ errors, added)
        of_f = 100 * self.round_off.state
        of_f *= abs(measures.loss) + scale * float(np.linalg.norm(x))
        return float(step + self.weights @ _more(errors, added) + of_f)

    @property
    def _step(self) -> float:
        return min(self.gamma, self.limit)


class Descent(Theorem):
    """Psi falls by gamma/2 |grad f|^2 a round."""

    def bound(self, start: float, done: int) -> float:
        """On the mean of |grad f|^2 over these rounds."""
        return 2 * start / (self._step * done) if done else np.nan


@dataclass(frozen=True)
class Linear(Theorem):
    """Psi shrinks by a factor a round, the larger of 1 - gamma mu and 1 - `least`."""

    mu: float
    least: float
    minimum: Minimum

    @property
    def factor(self) -> float:
        return 1 - min(self._step * self.mu, self.least)

    def bound(self, start: float, done: int) -> float:
        """On Psi."""
        return start * self.factor**done


class Theorems(NamedTuple):
    """Those of a case's method at its stepsize, each None where there is none."""

    descent: Descent | None = None
    linear: Linear | None = None

    @classmethod
    def of(
        cls, case: Case, problem: Problem, known: Constants, method: Method, exchange: Witnessed
    ) -> Theorems:
        """Collective: find the minimum, where f has one and the method a theorem of it."""
        speaks = "guarantee" in vars(type(method)) and case.step == Choice("plain")
        guarantee = method.guarantee(known) if speaks and problem.smooth and known.L > 0 else None
        if guarantee is None:
            return cls()
        least, sent = None, slack(exchange.operators, exchange.dtype, exchange.placement.total)
        given = float(method.stepsize), RoundOff(sent, float(np.finfo(exchange.dtype).eps))
        if known.mu_f > 0:
            least = minimum(problem, known.mu_f, exchange.door, exchange.placement, exchange.dtype)
        return cls(
            None if problem.f_inf is None else descent(guarantee, known.L, problem.f_inf, *given),
            None if least is None else linear(guarantee, known, least, *given),
        )


def descent(
    guarantee: Guarantee, L: float, f_inf: float, gamma: float, round_off: RoundOff
) -> Descent:
    """That of a smooth f."""
    limit = 1 / (L + sqrt(guarantee.spread))
    return Descent(guarantee, gamma, limit, gamma / 2 * guarantee.weights, f_inf, round_off)


def linear(
    guarantee: Guarantee, known: Constants, least: Minimum, gamma: float, round_off: RoundOff
) -> Linear:
    """That of an f with the strong convexity mu_f, and its minimum."""
    distance, mu = guarantee.distance, known.mu_f
    if distance is None:
        limit, weights = 1 / (known.L + sqrt(2 * guarantee.spread)), gamma * guarantee.weights
        f = limit, weights, least.f, round_off
        return Linear(guarantee, gamma, *f, mu, guarantee.least, least)
    weights = np.array([1, distance.weight * gamma**2])
    x = distance.limit, weights, None, round_off
    return Linear(guarantee, gamma, *x, mu, distance.least, least)


def slack(operators: Sequence[Operator], dtype: np.dtype, workers: int) -> float:
    """The relative round-off of what is sent through them, and added up where it is Allreduced."""
    eps = max(float(finfo(kind).eps) for kind in (coarsest(operators), dtype))
    return (8 + workers * any(operator.shared for operator in operators)) * eps


def _more(error, added):
    """By how much the square of a length is larger where `added` is added to the length."""
    return (2 * np.sqrt(error) + added) * added
