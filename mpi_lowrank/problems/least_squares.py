"""Least squares on sparse or dense rows with real targets."""

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Smoothness
from mpi_lowrank.problems.linear import LinearModel, Samples

WIDEST = 2000
"""Numbers of x up to which a shard's least eigenvalue is looked for."""


class Measured(Samples):
    """Rows with a real target each: `weights` are 2 / m_i."""

    def weigh(self):
        self.weights *= 2

    def differentiate(self):
        np.subtract(self.margins, self.targets, out=self.margins)

    def losses(self):
        return np.square(self.margins - self.targets, dtype=np.float64)

    def curvatures(self):
        return np.full_like(self.margins, 2)


@problems.register("least_squares")
class LeastSquares(LinearModel):
    """f_i(x) = |A_i x - b_i|^2 / m_i + (lambda/2) |x|^2; class numbers are targets too.

    L_i = 2 lambda_max(A_i^T A_i) / m_i + lambda, and L the same of the mean over workers. mu is
    lambda plus the least eigenvalue of any 2 A_i^T A_i / m_i, where x has at most 2000 numbers.
    Sparse or dense rows, kept sparse. Source of the form: the EF21 paper's experiments.
    """

    kind = Measured
    steepest = 2.0
    regularizer = "l2"
    lambda_: float = option(0.0)

    def smoothness(self, mean):
        known = super().smoothness(mean)
        least = min(map(self._least_curvature, self._features))
        return Smoothness(known.L, known.L_i, known.mu + least)

    def _least_curvature(self, features):
        rows, d = features.shape
        if rows < d or d > WIDEST:
            return 0.0
        matrix = features.astype(np.float64)
        values = np.linalg.eigvalsh((matrix.T @ matrix).toarray() * (self.steepest / rows))
        return float(values[0]) if values[0] > d * np.finfo(float).eps * values[-1] else 0.0
