"""Logistic regression on sparse rows, with a nonconvex or an l2 regulariser."""

import numpy as np
from scipy.sparse import issparse
from scipy.special import expit

from mpi_lowrank.component import option
from mpi_lowrank.errors import UserError
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.linear import LinearModel, Samples
from mpi_lowrank.problems.regularizer import Kind


class Signed(Samples):
    """Rows labelled -1 and +1: `targets` are -y_j, `weights` -y_j / m_i."""

    def label(self, labels, sizes):
        super().label(-labels, sizes)

    def weigh(self):
        np.multiply(self.weights, self.targets, out=self.weights)

    def differentiate(self):
        self.kernels.sigmoid(self._exponents())

    def losses(self):
        self._exponents()
        self.apply(_softplus)
        return self.margins

    def curvatures(self):
        exponents = self._exponents()
        return expit(exponents) * expit(-exponents)

    def _exponents(self):
        """-y_j a_j.x, in `margins`."""
        return np.multiply(self.margins, self.targets, out=self.margins)


@problems.register("logistic")
class LogisticRegression(LinearModel):
    """f_i(x) = (1/m_i) sum_j log(1 + exp(-y_j a_j.x)) + regulariser(x), y_j in {-1, +1}.

    Regulariser: `nonconvex`, lambda sum x_j^2 / (1 + x_j^2), with curvature in
    [-lambda/2, 2 lambda], or `l2`, (lambda/2) |x|^2.
    L_i = lambda_max(A_i^T A_i) / (4 m_i) + curvature. L is the same with the mean over workers of
    A_i^T A_i / (4 m_i): with unequal shards f is the mean of the f_i, not of the rows. mu is the
    lambda of l2; the rows would add to it, by how much depends on their margins.
    """

    kind = Signed
    steepest = 1 / 4
    regularizer: Kind = option("nonconvex")
    lambda_: float = option(0.1)

    @classmethod
    def model(cls, dataset, options):
        blocks = super().model(dataset, options)
        if not issparse(dataset.features) or not np.array_equal(np.unique(dataset.labels), [-1, 1]):
            raise UserError(
                f"data {dataset.name}: logistic regression needs sparse rows labelled -1 and +1"
            )
        return blocks

    def correct(self, x):
        whole = self._chosen.whole
        whole.project(x)
        right = (whole.margins > 0) == (whole.targets < 0)
        train = np.count_nonzero(right & (whole.targets != 0))
        test = self._shards.test
        assert test is not None
        return train, np.count_nonzero((test.features @ x > 0) == (test.labels > 0))


def _softplus(t: np.ndarray, out: np.ndarray) -> np.ndarray:
    """log(1 + exp(t)) at any t; `out` may be t."""
    return np.add(np.maximum(t, 0), np.log1p(np.exp(-np.abs(t))), out=out)
