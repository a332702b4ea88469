"""What theorems need to know of a method with the plain step: how its errors go on."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np


@dataclass(frozen=True)
class Distance:
    """At gamma <= `limit`, where f_i are convex and f has a strong convexity mu, |x^t - x*|^2 +
    `weight` gamma^2 e^t shrinks by the factor max(1 - gamma mu, 1 - `least`) a round in the mean.

    e^t is the mean of |h_i - grad f_i(x*)|^2. Source: Gorbunov, Hanzely, Richtarik 2020, A Unified
    Theory of SGD, theorem 4.1.
    """

    weight: float
    limit: float
    least: float


@dataclass(frozen=True)
class Guarantee:
    """How the errors e of a method, k mean squares of its `gaps`, go on from round to round.

    With e^t before the exchange of round t, and x^{t+1} = x^t - gamma g^t: |g^t - grad f(x^t)|^2 is
    at most reach . e^t, and e^{t+1} at most keep e^t + drift |x^{t+1} - x^t|^2, in every entry.
    Let v = reach (I - keep)^-1. As f(x^{t+1}) is at most f(x^t) - gamma/2 |grad f(x^t)|^2 +
    gamma/2 |g^t - grad f(x^t)|^2 - (1/(2 gamma) - L/2) |x^{t+1} - x^t|^2:

    - at gamma <= 1/(L + sqrt(v . drift)) f(x^t) - f_inf + gamma/2 v . e^t falls by at least gamma/2
      |grad f(x^t)|^2 (theorem 1 of EF21, Richtarik, Sokolov, Fatkhullin 2021; 2.1 of MARINA,
      Gorbunov, Burlachenko, Li, Richtarik 2021);
    - at gamma <= 1/(L + sqrt(2 v . drift)), where |grad f|^2 >= 2 mu (f - f*), f(x^t) - f* +
      gamma v . e^t shrinks by the factor max(1 - gamma mu, 1 - min reach / (2 v)): the papers'
      theorems 2 and 2.2, which ask for a gamma at which the first is the larger.
    """

    reach: np.ndarray
    """(k,)"""
    keep: np.ndarray
    """(k, k)"""
    drift: np.ndarray
    """(k,)"""
    certain: bool
    """Whether that holds in every run, not only in the mean over draws."""
    distance: Distance | None = None
    """What is known besides, for the linear rate."""

    @property
    def weights(self) -> np.ndarray:
        """v, (k,)."""
        return np.linalg.solve(np.eye(len(self.reach)) - self.keep.T, self.reach)

    @property
    def spread(self) -> float:
        """v . drift."""
        return float(self.weights @ self.drift)

    @property
    def least(self) -> float:
        """min reach / (2 v), 1 where no error reaches g."""
        v = self.weights
        return float(np.min(self.reach[v > 0] / (2 * v[v > 0]), initial=1.0))


def contraction(left: float, reach: float, L: float, certain: bool) -> Guarantee:
    """That of mean |g_i - grad f_i(x)|^2 alone: an exchange leaves the part `left` of it.

    `reach`: the part that is left in g. L: what the gradients move at most, per distance, in the
    root mean square. Young's inequality with what is best for the step makes keep sqrt(left).
    """
    s = sqrt(left)
    return Guarantee(np.array([reach]), np.array([[s]]), np.array([L**2 / (1 - s)]), certain)


EXACT = Guarantee(np.zeros(0), np.zeros((0, 0)), np.zeros(0), certain=True)
"""That of a method whose g is grad f(x)."""
