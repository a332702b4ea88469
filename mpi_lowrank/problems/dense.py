"""Classification of dense rows: what softmax regression and neural networks have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import issparse

from mpi_lowrank.component import Options, option
from mpi_lowrank.datasets.local import LocalShards, Rows
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.problems.base import Block, Problem
from mpi_lowrank.problems.batch import Batch, Chosen
from mpi_lowrank.problems.regularizer import Regularizer


class Classifier(Problem):
    """f_i(x) = (1/m_i) sum_j (log sum_k exp z_jk - z_j,y_j) + (lambda/2) |x|^2, y_j in 0, 1, ...

    The logits z_j of row a_j are the output of the last layer; subclasses define the layers.
    """

    default_data = "digits"
    f_inf = 0.0
    lambda_: float = option(1e-3)

    def __init__(self, shards: LocalShards, dtype: np.dtype, **options: Any):
        super().__init__(shards, dtype, **options)
        features, classes = shards.workers[0].features.shape[1], shards.classes
        self.blocks = self.layers(features, classes, self.filled(options))
        widths = [block.shape[1] for block in self.blocks if len(block.shape) == 2]
        self._shards, self._regularizer = shards, Regularizer("l2", self.lambda_, dtype)
        assert shards.test is not None
        self._test = shards.test
        self._test_columns = stack_columns([self._test], len(self._test.labels), dtype)
        self._test_layers = make_layers(self._test_columns, widths)
        self.samples = np.array([len(rows.labels) for rows in shards.workers])
        columns = stack_columns(shards.workers, shards.longest, dtype)
        whole = Samples(columns, widths)
        whole.label([rows.labels for rows in shards.workers])
        shape = columns.shape[:2]
        self._chosen = Chosen(
            whole, self.samples, lambda width: Samples(np.zeros((*shape, width), dtype), widths)
        )

    @classmethod
    def footprint(cls, blocks, workers, longest, itemsize, options):
        matrices = [block.shape for block in blocks if len(block.shape) == 2]
        widths = matrices[0][0] + sum(outputs for _, outputs in matrices)
        return workers * widths * longest * itemsize

    @classmethod
    @abstractmethod
    def layers(cls, features: int, classes: int, options: Options) -> tuple[Block, ...]:
        """The model's blocks; its matrices are (inputs, outputs) of its layers, in order."""

    @classmethod
    def model(cls, dataset, options):
        if options.lambda_ < 0:
            raise OptionError("lambda", options.lambda_, "a number from 0")
        assert dataset is not None
        classes = np.unique(dataset.labels)
        if issparse(dataset.features) or not np.array_equal(classes, np.arange(len(classes))):
            raise UserError(
                f"data {dataset.name}: expected dense rows with classes 0, 1, ..., such as digits"
            )
        return cls.layers(dataset.features.shape[1], len(classes), options)

    @abstractmethod
    def _forward(self, x: np.ndarray, columns: np.ndarray, layers: list[np.ndarray]) -> None:
        """Fill `layers`, (..., width, rows) each, for the rows in `columns`, (..., p, rows)."""

    @abstractmethod
    def _backward(
        self, x: np.ndarray, columns: np.ndarray, layers: list[np.ndarray], out: np.ndarray
    ) -> None:
        """Write gradients into the rows of `out`; df_i/dz has replaced the last layer."""

    def gradients(self, x, out, batch=None):
        samples = self._chosen(batch)
        self._forward(x, samples.columns, samples.layers)
        samples.differentiate()
        self._backward(x, samples.columns, samples.layers, out)
        self._regularizer.add_slope(x, out)

    def losses(self, x, out, batch=None):
        samples = self._chosen(batch)
        self._forward(x, samples.columns, samples.layers)
        samples.lose(out)
        self._regularizer.add_value(x, out)

    def correct(self, x):
        whole = self._chosen.whole
        self._forward(x, whole.columns, whole.layers)
        self._forward(x, self._test_columns, self._test_layers)
        predicted = self._test_layers[-1][0].argmax(axis=0)
        return whole.right(), np.count_nonzero(predicted == self._test.labels)


class Samples:
    """Labelled rows of the local workers, with arrays for a pass through the layers.

    Arrays are (workers, width, longest). A row of the data is a column, so that sums over classes
    run along memory. All workers' products have the same shape, so that a worker's bits do not
    depend on who shares its rank. `targets` are 1 at a row's class, `weights` 1 / m_i; both are 0
    in the padding. `sizes` (workers,): the m_i.
    """

    def __init__(self, columns: np.ndarray, widths: Sequence[int]):
        workers, _, longest = columns.shape
        self.columns, self.layers = columns, make_layers(columns, widths)
        self.targets, self.sizes = np.zeros_like(self.layers[-1]), np.ones(workers)
        self.weights, self._line = np.zeros((2, workers, 1, longest), columns.dtype)

    def label(self, labels: Sequence[np.ndarray]) -> None:
        """Take the labels of whole shards."""
        self.sizes = np.array([len(mine) for mine in labels])
        for targets, weights, mine in zip(self.targets, self.weights, labels, strict=True):
            targets[mine.astype(np.intp), np.arange(len(mine))] = 1
            weights[0, : len(mine)] = 1 / len(mine)

    def draw(self, whole: "Samples", batch: Batch) -> None:
        """Become the samples of `batch` among those of whole shards."""
        batch.take(whole.columns, self.columns)
        batch.take(whole.targets, self.targets)
        self.weights[:, 0] = batch.weights
        self.sizes = batch.sizes

    def differentiate(self) -> None:
        """Turn z in the last layer into df_i/dz: (softmax(z) - target) / m_i, 0 in the padding."""
        logits, line = self.layers[-1], self._line
        np.subtract(logits, np.max(logits, axis=1, keepdims=True, out=line), out=logits)
        np.exp(logits, out=logits)
        np.divide(logits, np.sum(logits, axis=1, keepdims=True, out=line), out=logits)
        np.subtract(logits, self.targets, out=logits)
        np.multiply(logits, self.weights, out=logits)

    def lose(self, out: np.ndarray) -> None:
        """The mean losses of the z in the last layer into `out`, (workers,) float64."""
        logits = self.layers[-1]
        logits -= logits.max(axis=1, keepdims=True)
        losses = np.log(np.exp(logits).sum(axis=1)) - (logits * self.targets).sum(axis=1)
        losses[self.weights[:, 0] == 0] = 0
        np.sum(losses.astype(np.float64), axis=1, out=out)
        out /= self.sizes

    def right(self) -> int:
        """How many rows have the largest z at their class."""
        right = self.layers[-1].argmax(axis=1) == self.targets.argmax(axis=1)
        return int(np.count_nonzero(right & (self.weights[:, 0] > 0)))


def stack_columns(shards: Sequence[Rows], longest: int, dtype: np.dtype) -> np.ndarray:
    """A_i^T of every shard, (shards, p, longest), with zero columns for the rows it lacks."""
    stacked = np.zeros((len(shards), shards[0].features.shape[1], longest), dtype)
    for columns, rows in zip(stacked, shards, strict=True):
        columns[:, : len(rows.labels)] = rows.features.T
    return stacked


def make_layers(columns: np.ndarray, widths: Sequence[int]) -> list[np.ndarray]:
    stacked, _, rows = columns.shape
    return [np.zeros((stacked, width, rows), columns.dtype) for width in widths]
