"""A linear autoencoder of dense rows."""

from typing import Any, Self

import numpy as np
from scipy.sparse import issparse

from mpi_lowrank.component import option
from mpi_lowrank.datasets.local import LocalShards
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Block, Problem, Smoothness
from mpi_lowrank.problems.batch import Batch, Chosen
from mpi_lowrank.problems.dense import make_layers, stack_columns
from mpi_lowrank.record import Metric

UNEXPLAINED = Metric(
    "unexplained",
    "|D E A_i - A_i|^2 / |A_i|^2 in the mean over workers; 0 for a worker whose rows are 0",
    falls=True,
    heading="unexpl.",
    label="share of the rows not reconstructed",
)


class Samples:
    """Rows of the local workers as columns, and room for a pass; see `dense.Samples`.

    Arrays are (workers, width, longest); `weights` (workers, 1, longest) are 2 / m_i, and 0 in the
    padding.
    """

    def __init__(self, columns: np.ndarray, code: int):
        workers, features, longest = columns.shape
        self.columns = columns
        self.codes, self.errors = make_layers(columns, (code, features))
        self.weights = np.zeros((workers, 1, longest), columns.dtype)

    def weigh(self, sizes: np.ndarray) -> None:
        """Take the sizes of whole shards."""
        counts = sizes[:, np.newaxis]
        self.weights[:, 0] = 2 * (np.arange(self.columns.shape[2]) < counts) / counts

    def draw(self, whole: Self, batch: Batch) -> None:
        """Become the samples of `batch` among those of whole shards."""
        batch.take(whole.columns, self.columns)
        self.weights[:, 0] = batch.weights
        self.weights *= 2

    def reconstruct(self, D: np.ndarray, E: np.ndarray) -> None:
        """E A in `codes`, and D E A - A in `errors`."""
        np.matmul(E, self.columns, out=self.codes)
        np.matmul(D, self.codes, out=self.errors)
        np.subtract(self.errors, self.columns, out=self.errors)


@problems.register("autoencoder")
class Autoencoder(Problem):
    """f_i(D, E) = |D E A_i - A_i|^2 / m_i for D (features, code) and E (code, features).

    The columns of A_i are the m_i rows of worker i. The least f is the sum of the eigenvalues of
    the mean of A_i A_i^T / m_i but the `code` largest. Not convex, and without a global L: the
    constants are NaN, so a case must set a stepsize. Workers are alike on rows that are shuffled,
    and differ with `data.order = "by_label"`.

    Source: P. Richtarik et al., "3PC: Three Point Compressors for Communication-Efficient
    Distributed Training and a Better Theory for Lazy Aggregation", ICML 2022: there on MNIST.
    """

    default_data = "digits"
    smooth = False
    metrics = (UNEXPLAINED,)
    code: int = option(16)

    def __init__(self, shards: LocalShards, dtype: np.dtype, **options: Any):
        super().__init__(shards, dtype, **options)
        columns = stack_columns(shards.workers, shards.longest, dtype)
        workers, features, _ = columns.shape
        self.blocks = self._model(features, self.code)
        self.samples = np.array([len(rows.labels) for rows in shards.workers])
        whole = Samples(columns, self.code)
        whole.weigh(self.samples)
        squares = np.einsum("wfs,wfs->w", columns, columns, dtype=np.float64)
        self._scales = squares / self.samples
        self._losses = np.zeros(workers)
        self._chosen = Chosen(
            whole,
            self.samples,
            lambda width: Samples(np.zeros((workers, features, width), dtype), self.code),
        )

    @classmethod
    def model(cls, dataset, options):
        if options.code < 1:
            raise OptionError("code", options.code, "an integer from 1")
        if issparse(dataset.features):
            raise UserError(f"data {dataset.name}: expected dense rows, such as digits")
        return cls._model(dataset.features.shape[1], options.code)

    @staticmethod
    def _model(features: int, code: int) -> tuple[Block, ...]:
        return Block("D", (features, code)), Block("E", (code, features))

    @classmethod
    def footprint(cls, blocks, workers, longest, itemsize, options):
        features, code = blocks[0].shape
        return workers * (2 * features + code) * longest * itemsize

    def gradients(self, x, out, batch=None):
        samples, (D, E), (into_D, into_E) = self._chosen(batch), self.parts(x), self.parts(out)
        codes, errors = samples.codes, samples.errors
        samples.reconstruct(D, E)
        np.multiply(errors, samples.weights, out=errors)
        np.matmul(errors, codes.swapaxes(1, 2), out=into_D)
        np.matmul(D.swapaxes(-2, -1), errors, out=codes)
        np.matmul(codes, samples.columns.swapaxes(1, 2), out=into_E)

    def losses(self, x, out, batch=None):
        samples = self._chosen(batch)
        samples.reconstruct(*self.parts(x))
        squares = np.square(samples.errors, dtype=np.float64)
        np.sum(squares * (samples.weights / 2), axis=(1, 2), out=out)

    def measure(self, x, out):
        out[...] = 0
        self.losses(x, self._losses)
        np.divide(self._losses, self._scales, out=out[:, 0], where=self._scales > 0)

    def smoothness(self, mean):
        return Smoothness(np.nan, np.full(len(self.samples), np.nan))

    def scale_start(self, x: np.ndarray) -> None:
        """Turn standard normal numbers into matrices with singular values near 1, or less."""
        for part in self.parts(x):
            part /= np.sqrt(max(part.shape))
