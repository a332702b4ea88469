"""Logistic regression on sparse rows, with a nonconvex or an l2 regulariser."""

from typing import Literal

import numpy as np
from scipy.sparse import issparse
from scipy.special import expit

from mpi_lowrank.datasets.local import LocalShards
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Block, Problem, Smoothness, largest_eigenvalue
from mpi_lowrank.problems.sparse import StackedRows

Regularizer = Literal["nonconvex", "l2"]


@problems.register("logistic")
class LogisticRegression(Problem):
    """f_i(x) = (1/m_i) sum_j log(1 + exp(-y_j a_j.x)) + regulariser(x), y_j in {-1, +1}.

    Regulariser: `nonconvex`, lambda sum x_j^2 / (1 + x_j^2), with curvature in
    [-lambda/2, 2 lambda], or `l2`, (lambda/2) |x|^2.
    L_i = lambda_max(A_i^T A_i) / (4 m_i) + curvature, and L the same of the mean over workers of
    A_i^T A_i / (4 m_i): with unequal shards f is the mean of the f_i, not of the rows.
    """

    default_data = "mushrooms"

    def __init__(
        self,
        shards: LocalShards,
        dtype: np.dtype,
        *,
        regularizer: Regularizer = "nonconvex",
        lambda_: float = 0.1,
    ):
        self._shards = shards
        features = [rows.features for rows in shards.workers]
        self.blocks = (Block("x", (features[0].shape[1],)),)
        self.regularizer, self.strength = regularizer, lambda_
        self._rows = StackedRows(features, shards.longest, dtype)
        self._sizes = np.array([len(rows.labels) for rows in shards.workers])
        self._labels = np.zeros((len(features), shards.longest), dtype)
        for padded, rows in zip(self._labels, shards.workers, strict=True):
            padded[: len(rows.labels)] = rows.labels
        self._negative = -self._labels
        self._weights = self._negative / self._sizes[:, np.newaxis].astype(dtype)
        self._margins = np.zeros_like(self._labels)
        self._x2, self._slope = np.zeros((2, self.d), dtype)

    @classmethod
    def model(cls, dataset, *, regularizer="nonconvex", lambda_=0.1):
        if lambda_ < 0:
            raise OptionError("lambda", lambda_, "a number from 0")
        if not issparse(dataset.features) or not np.array_equal(np.unique(dataset.labels), [-1, 1]):
            raise UserError(
                f"data {dataset.name}: logistic regression needs sparse rows labelled -1 and +1"
            )
        return (Block("x", dataset.features.shape[1:]),)

    @classmethod
    def footprint(cls, blocks, workers, longest, itemsize, **options):
        return workers * (4 * longest + blocks[0].shape[0]) * itemsize

    def gradients(self, x, out):
        margins = self._margins
        self._rows.times(x, margins)
        np.multiply(margins, self._negative, out=margins)
        expit(margins, out=margins)
        np.multiply(margins, self._weights, out=margins)
        self._rows.transposed_times(margins, out)
        out += self._regularizer_slope(x)

    def _regularizer_slope(self, x):
        slope = np.multiply(x, self.strength, out=self._slope)
        if self.regularizer == "nonconvex":
            square = np.multiply(x, x, out=self._x2)
            square += 1
            np.multiply(square, square, out=square)
            slope *= 2
            slope /= square
        return slope

    def losses(self, x, out):
        self._rows.times(x, self._margins)
        losses = _softplus(np.multiply(self._margins, self._negative, out=self._margins))
        losses[self._labels == 0] = 0
        np.sum(losses, axis=1, dtype=np.float64, out=out)
        out /= self._sizes
        out += self._regularizer_value(x.astype(np.float64))

    def _regularizer_value(self, x):
        square = x * x
        if self.regularizer == "l2":
            return self.strength / 2 * square.sum()
        return self.strength * (square / (1 + square)).sum()

    def correct(self, x):
        self._rows.times(x, self._margins)
        right = (self._margins > 0) == (self._labels > 0)
        train = np.count_nonzero(right & (self._labels != 0))
        test = self._shards.test
        return train, np.count_nonzero((test.features @ x > 0) == (test.labels > 0))

    def smoothness(self, mean):
        curvature = 2 * self.strength if self.regularizer == "nonconvex" else self.strength
        local = [self._largest_curvature(rows.features) for rows in self._shards.workers]
        return Smoothness(self._mean_curvature(mean) + curvature, np.array(local) + curvature)

    def _largest_curvature(self, features):
        matrix = features.astype(np.float64)
        scale = 4 * matrix.shape[0]
        return largest_eigenvalue(lambda v: matrix.T @ (matrix @ v) / scale, self.d)

    def _mean_curvature(self, mean):
        features = [rows.features for rows in self._shards.workers]
        rows = StackedRows(features, self._shards.longest, np.float64)
        margins = np.zeros(self._labels.shape)
        curvatures = np.zeros((len(features), self.d))

        def product(v):
            rows.times(v, margins)
            rows.transposed_times(margins, curvatures)
            return mean(curvatures / (4 * self._sizes[:, np.newaxis]))

        return largest_eigenvalue(product, self.d)


def _softplus(t: np.ndarray) -> np.ndarray:
    """log(1 + exp(t)) at any t."""
    return np.maximum(t, 0) + np.log1p(np.exp(-np.abs(t)))
