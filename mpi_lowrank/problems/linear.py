"""Linear models on rows: what logistic regression and least squares have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import ModuleType
from typing import Any, Self

import numpy as np
from scipy.sparse import csr_array

from mpi_lowrank.datasets.local import LocalShards
from mpi_lowrank.errors import OptionError
from mpi_lowrank.kernels import family
from mpi_lowrank.problems.base import Block, Problem, Smoothness, largest_eigenvalue
from mpi_lowrank.problems.batch import Batch, Chosen
from mpi_lowrank.problems.onehot import OneHotRows
from mpi_lowrank.problems.regularizer import Kind, Regularizer
from mpi_lowrank.problems.sparse import DrawnRows, Stack, StackedRows


class Samples(ABC):
    """Labelled rows of the local workers, and room for their margins a_j.x; see `Stack`.

    Arrays are (workers, longest). `weights`: 1 / m_i, times what `differentiate` leaves out, and 0
    in the padding. `sizes` (workers,): the m_i. `kernels`: the family "rows".
    """

    def __init__(self, rows: Stack, dtype: np.dtype, kernels: ModuleType):
        self.rows, self.sizes, self.kernels = rows, np.ones(rows.workers), kernels
        shape = 3, rows.workers, rows.longest
        self.targets, self.weights, self.margins = np.zeros(shape, dtype)
        self._real: np.ndarray | None = None

    def label(self, labels: np.ndarray, sizes: np.ndarray) -> None:
        """Take the labels of whole shards, 0 in the padding."""
        self.targets[...] = labels
        self.sizes, counts = sizes, sizes[:, np.newaxis]
        real = np.arange(self.rows.longest) < counts
        np.divide(real, counts, out=self.weights)
        if 2 * np.count_nonzero(real) < real.size:
            self._real = np.flatnonzero(real)
            self._room = np.empty(len(self._real), self.margins.dtype)
        self.weigh()

    def draw(self, whole: Self, batch: Batch) -> None:
        """Become the samples of `batch` among those of whole shards."""
        assert isinstance(self.rows, DrawnRows)
        self.rows.draw(batch)
        batch.take(whole.targets, self.targets)
        self.weights[...] = batch.weights
        self.sizes = batch.sizes
        self.weigh()

    def project(self, x: np.ndarray) -> None:
        """Set the margins at x, one point (d,) or a point for each worker."""
        self.rows.times(x, self.margins)

    def apply(self, function: Callable[..., np.ndarray]) -> None:
        """Put `function` of the margins in their place; what is padding may stay as it is.

        Where the longest shard is long beside the others, most is padding, and is left out.
        """
        if self._real is None:
            function(self.margins, out=self.margins)
            return
        flat = self.margins.reshape(-1)
        np.take(flat, self._real, out=self._room, mode="clip")
        flat[self._real] = function(self._room, out=self._room)

    @abstractmethod
    def weigh(self) -> None:
        """Multiply the weights by what `differentiate` leaves out."""

    @abstractmethod
    def differentiate(self) -> None:
        """Turn the margins, in place, into l' of each row but for a factor; see `weigh`."""

    @abstractmethod
    def losses(self) -> np.ndarray:
        """l of each row; the margins are lost."""

    @abstractmethod
    def curvatures(self) -> np.ndarray:
        """l'' of each row; the margins are lost."""


class LinearModel(Problem):
    """f_i(x) = (1/m_i) sum_j l(a_j.x, y_j) + regulariser(x) on rows a_j with labels y_j.

    With s the largest second derivative of l in its first argument, L_i = s lambda_max(A_i^T A_i) /
    m_i + curvature of the regulariser, and L the same of the mean over workers of s A_i^T A_i /
    m_i: with unequal shards f is the mean of the f_i, not of the rows. Rows are kept sparse.
    """

    default_data = "mushrooms"
    f_inf = 0.0
    has_hessians = True
    summed_by_kernels = True
    regularizer: Kind
    lambda_: float
    kind: type[Samples]
    """What knows l."""
    steepest: float
    """s."""

    def __init__(self, shards: LocalShards, dtype: np.dtype, **options: Any):
        super().__init__(shards, dtype, **options)
        self._shards = shards
        self._features = [csr_array(rows.features) for rows in shards.workers]
        self.blocks = (Block("x", (self._features[0].shape[1],)),)
        self._regularizer = Regularizer(self.regularizer, self.lambda_, dtype)
        self.samples = np.array([len(rows.labels) for rows in shards.workers])
        labels = np.zeros((len(self._features), shards.longest), dtype)
        for padded, rows in zip(labels, shards.workers, strict=True):
            padded[: len(rows.labels)] = rows.labels
        kernels = family("rows", shards.train_rows)  # the same on any number of ranks
        stacked = StackedRows(self._features, shards.longest, dtype)
        if kernels.BY_PARTS and self._features[0].dtype == bool:
            stacked = OneHotRows(self._features, shards.longest, dtype, kernels)
        whole = self.kind(stacked, dtype, kernels)
        whole.label(labels, self.samples)
        self._chosen = Chosen(
            whole, self.samples, lambda width: self.kind(DrawnRows(stacked, width), dtype, kernels)
        )

    @classmethod
    def model(cls, dataset, options):
        if options.lambda_ < 0:
            raise OptionError("lambda", options.lambda_, "a number from 0")
        return (Block("x", dataset.features.shape[1:]),)

    @classmethod
    def footprint(cls, blocks, workers, longest, itemsize, options):
        return workers * (4 * longest + blocks[0].shape[0]) * itemsize

    def gradients(self, x, out, batch=None):
        samples = self._chosen(batch)
        samples.project(x)
        samples.differentiate()
        margins = samples.margins
        np.multiply(margins, samples.weights, out=margins)
        samples.rows.transposed_times(margins, out)
        self._regularizer.add_slope(x, out)

    def losses(self, x, out, batch=None):
        samples = self._chosen(batch)
        samples.project(x)
        losses = samples.losses()
        losses[samples.weights == 0] = 0
        np.sum(losses, axis=1, dtype=np.float64, out=out)
        out /= samples.sizes
        self._regularizer.add_value(x, out)

    def hessians(self, x, out):
        whole = self._chosen.whole
        whole.project(x)
        roots = np.sqrt(whole.curvatures() / self.samples[:, np.newaxis])
        for features, row, hessian in zip(self._features, roots, out, strict=True):
            scaled = features.toarray().astype(out.dtype)
            scaled *= row[: len(scaled), np.newaxis]
            np.matmul(scaled.T, scaled, out=hessian)
        self._regularizer.add_curvature(x, out)

    @classmethod
    def hessian_footprint(cls, blocks, workers, longest, itemsize):
        dense = longest * blocks[0].shape[0] * itemsize
        return dense + super().hessian_footprint(blocks, workers, longest, itemsize)

    def smoothness(self, mean):
        curvature, mu = self._regularizer.curvature, self._regularizer.mu
        local = [self._largest_curvature(features) for features in self._features]
        return Smoothness(self._mean_curvature(mean) + curvature, np.array(local) + curvature, mu)

    def _largest_curvature(self, features):
        matrix = features.astype(np.float64)
        scale = matrix.shape[0] / self.steepest
        return largest_eigenvalue(lambda v: matrix.T @ (matrix @ v) / scale, self.d)

    def _mean_curvature(self, mean):
        rows = StackedRows(self._features, self._shards.longest, np.float64)
        margins = np.zeros((rows.workers, rows.longest))
        curvatures = np.zeros((rows.workers, self.d))
        scales = self.samples[:, np.newaxis] / self.steepest

        def product(v):
            rows.times(v, margins)
            rows.transposed_times(margins, curvatures)
            return mean(curvatures / scales)

        return largest_eigenvalue(product, self.d)
