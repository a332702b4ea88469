"""Logistic regression on sparse rows, with a nonconvex or an l2 regulariser."""

from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse
from scipy.special import expit

from mpi_lowrank.component import option
from mpi_lowrank.datasets.local import LocalShards
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Block, Problem, Smoothness, largest_eigenvalue
from mpi_lowrank.problems.batch import Batch, Chosen
from mpi_lowrank.problems.regularizer import Kind, Regularizer
from mpi_lowrank.problems.sparse import DrawnRows, Stack, StackedRows


@problems.register("logistic")
class LogisticRegression(Problem):
    """f_i(x) = (1/m_i) sum_j log(1 + exp(-y_j a_j.x)) + regulariser(x), y_j in {-1, +1}.

    Regulariser: `nonconvex`, lambda sum x_j^2 / (1 + x_j^2), with curvature in
    [-lambda/2, 2 lambda], or `l2`, (lambda/2) |x|^2.
    L_i = lambda_max(A_i^T A_i) / (4 m_i) + curvature, and L the same of the mean over workers of
    A_i^T A_i / (4 m_i): with unequal shards f is the mean of the f_i, not of the rows. mu is the
    l2 regulariser's lambda: what the rows add to it is not known without their margins.
    """

    default_data = "mushrooms"
    has_hessians = True
    regularizer: Kind = option("nonconvex")
    lambda_: float = option(0.1)

    def __init__(self, shards: LocalShards, dtype: np.dtype, **options: Any):
        super().__init__(shards, dtype, **options)
        self._shards = shards
        features = [rows.features for rows in shards.workers]
        self.blocks = (Block("x", (features[0].shape[1],)),)
        self._regularizer = Regularizer(self.regularizer, self.lambda_, dtype)
        self.samples = np.array([len(rows.labels) for rows in shards.workers])
        self._labels = np.zeros((len(features), shards.longest), dtype)
        for padded, rows in zip(self._labels, shards.workers, strict=True):
            padded[: len(rows.labels)] = rows.labels
        stacked = StackedRows(features, shards.longest, dtype)
        whole = Samples(stacked, dtype)
        whole.label(self._labels, self.samples)
        self._chosen = Chosen(
            whole, self.samples, lambda width: Samples(DrawnRows(stacked, width), dtype)
        )

    @classmethod
    def model(cls, dataset, options):
        if options.lambda_ < 0:
            raise OptionError("lambda", options.lambda_, "a number from 0")
        if not issparse(dataset.features) or not np.array_equal(np.unique(dataset.labels), [-1, 1]):
            raise UserError(
                f"data {dataset.name}: logistic regression needs sparse rows labelled -1 and +1"
            )
        return (Block("x", dataset.features.shape[1:]),)

    @classmethod
    def footprint(cls, blocks, workers, longest, itemsize, options):
        return workers * (4 * longest + blocks[0].shape[0]) * itemsize

    def gradients(self, x, out, batch=None):
        samples = self._chosen(batch)
        exponents = samples.exponents(x)
        expit(exponents, out=exponents)
        np.multiply(exponents, samples.weights, out=exponents)
        samples.rows.transposed_times(exponents, out)
        self._regularizer.add_slope(x, out)

    def losses(self, x, out, batch=None):
        samples = self._chosen(batch)
        losses = _softplus(samples.exponents(x))
        losses[samples.weights == 0] = 0
        np.sum(losses, axis=1, dtype=np.float64, out=out)
        out /= samples.sizes
        self._regularizer.add_value(x, out)

    def hessians(self, x, out):
        exponents = self._chosen.whole.exponents(x)
        curvatures = np.sqrt(expit(exponents) * expit(-exponents) / self.samples[:, np.newaxis])
        for rows, row, hessian in zip(self._shards.workers, curvatures, out, strict=True):
            scaled = csr_array(rows.features).toarray().astype(out.dtype)
            scaled *= row[: len(scaled), np.newaxis]
            np.matmul(scaled.T, scaled, out=hessian)
        self._regularizer.add_curvature(x, out)

    @classmethod
    def hessian_footprint(cls, blocks, workers, longest, itemsize):
        dense = longest * blocks[0].shape[0] * itemsize
        return dense + super().hessian_footprint(blocks, workers, longest, itemsize)

    def correct(self, x):
        margins = self._chosen.whole.margins
        self._chosen.whole.rows.times(x, margins)
        right = (margins > 0) == (self._labels > 0)
        train = np.count_nonzero(right & (self._labels != 0))
        test = self._shards.test
        assert test is not None
        return train, np.count_nonzero((test.features @ x > 0) == (test.labels > 0))

    def smoothness(self, mean):
        curvature, mu = self._regularizer.curvature, self._regularizer.mu
        local = [self._largest_curvature(rows.features) for rows in self._shards.workers]
        return Smoothness(self._mean_curvature(mean) + curvature, np.array(local) + curvature, mu)

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
            return mean(curvatures / (4 * self.samples[:, np.newaxis]))

        return largest_eigenvalue(product, self.d)


class Samples:
    """Labelled rows of the local workers, and room for their margins; see `Stack`.

    Arrays are (workers, longest): `negative` is -y_j, `weights` is -y_j / m_i, and both are 0 in
    the padding. `sizes` (workers,): the m_i.
    """

    def __init__(self, rows: Stack, dtype: np.dtype):
        self.rows, self.sizes = rows, np.ones(rows.workers)
        shape = 3, rows.workers, rows.longest
        self.negative, self.weights, self.margins = np.zeros(shape, dtype)

    def label(self, labels: np.ndarray, sizes: np.ndarray) -> None:
        """Take the labels of whole shards, 0 in the padding."""
        np.negative(labels, out=self.negative)
        np.divide(self.negative, sizes[:, np.newaxis].astype(labels.dtype), out=self.weights)
        self.sizes = sizes

    def draw(self, whole: "Samples", batch: Batch) -> None:
        """Become the samples of `batch` among those of whole shards."""
        assert isinstance(self.rows, DrawnRows)
        self.rows.draw(batch)
        batch.take(whole.negative, self.negative)
        self.weights[...] = batch.weights
        self.weights *= self.negative
        self.sizes = batch.sizes

    def exponents(self, x: np.ndarray) -> np.ndarray:
        """-y_j a_j.x, in `margins`."""
        self.rows.times(x, self.margins)
        return np.multiply(self.margins, self.negative, out=self.margins)


def _softplus(t: np.ndarray) -> np.ndarray:
    """log(1 + exp(t)) at any t."""
    return np.maximum(t, 0) + np.log1p(np.exp(-np.abs(t)))
