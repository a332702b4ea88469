"""Classification of dense rows: what softmax regression and neural networks have in common."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from scipy.sparse import issparse

from mpi_lowrank.datasets import Dataset
from mpi_lowrank.datasets.local import LocalShards, Rows
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.problems.base import Problem


class Classifier(Problem):
    """f_i(x) = (1/m_i) sum_j (log sum_k exp z_jk - z_j,y_j) + (lambda/2) |x|^2, y_j in 0, 1, ...

    The logits z_j of row a_j are the last of its layers, which subclasses define. Arrays are
    (workers, width, longest): a row of the data is a column, so that sums over classes run along
    memory, and every worker's products have one shape wherever it lives, so that its bits do not
    depend on who shares its rank.
    """

    default_data = "digits"

    def __init__(self, shards: LocalShards, dtype: np.dtype, widths: Sequence[int], lambda_: float):
        """`widths`: of the layers; the last is the number of classes."""
        self._shards, self.strength = shards, lambda_
        self._columns = _columns(shards.workers, shards.longest, dtype)
        self._test_columns = _columns([shards.test], len(shards.test.labels), dtype)
        self._layers = _layers(self._columns, widths)
        self._test_layers = _layers(self._test_columns, widths)
        self._sizes = np.array([len(rows.labels) for rows in shards.workers])
        self._targets = np.zeros_like(self._layers[-1])
        self._weights, self._line = np.zeros((2, len(self._sizes), 1, shards.longest), dtype)
        for targets, weights, (_, labels) in zip(
            self._targets, self._weights, shards.workers, strict=True
        ):
            targets[labels.astype(np.intp), np.arange(len(labels))] = 1
            weights[0, : len(labels)] = 1 / len(labels)
        self._slope = np.zeros(self.d, dtype)

    @classmethod
    def footprint(cls, blocks, workers, longest, itemsize, **options):
        matrices = [block.shape for block in blocks if len(block.shape) == 2]
        widths = matrices[0][0] + sum(outputs for _, outputs in matrices)
        return workers * widths * longest * itemsize

    @staticmethod
    def check(dataset: Dataset, lambda_: float) -> tuple[int, int]:
        """Features and classes of data that fit, or UserError; OptionError for `lambda_` < 0."""
        if lambda_ < 0:
            raise OptionError("lambda", lambda_, "a number from 0")
        classes = np.unique(dataset.labels)
        if issparse(dataset.features) or not np.array_equal(classes, np.arange(len(classes))):
            raise UserError(
                f"data {dataset.name}: expected dense rows with classes 0, 1, ..., such as digits"
            )
        return dataset.features.shape[1], len(classes)

    @abstractmethod
    def _forward(self, x: np.ndarray, columns: np.ndarray, layers: list[np.ndarray]) -> None:
        """Fill `layers`, (..., width, rows) each, for the rows in `columns`, (..., p, rows)."""

    @abstractmethod
    def _backward(self, x: np.ndarray, out: np.ndarray) -> None:
        """Turn the last layer, by now df_i/dz, into the rows of `out`; the others still hold."""

    def gradients(self, x, out):
        self._forward(x, self._columns, self._layers)
        self._differentiate(self._layers[-1])
        self._backward(x, out)
        out += np.multiply(x, self.strength, out=self._slope)

    def _differentiate(self, logits):
        """From z to df_i/dz, which is softmax(z) - target over m_i, and 0 in the padding."""
        line = self._line
        np.subtract(logits, np.max(logits, axis=1, keepdims=True, out=line), out=logits)
        np.exp(logits, out=logits)
        np.divide(logits, np.sum(logits, axis=1, keepdims=True, out=line), out=logits)
        np.subtract(logits, self._targets, out=logits)
        np.multiply(logits, self._weights, out=logits)

    def losses(self, x, out):
        self._forward(x, self._columns, self._layers)
        logits = self._layers[-1]
        logits -= logits.max(axis=1, keepdims=True)
        losses = np.log(np.exp(logits).sum(axis=1)) - (logits * self._targets).sum(axis=1)
        losses[self._weights[:, 0] == 0] = 0
        np.sum(losses.astype(np.float64), axis=1, out=out)
        out /= self._sizes
        out += self.strength / 2 * np.square(x, dtype=np.float64).sum()

    def correct(self, x):
        self._forward(x, self._columns, self._layers)
        self._forward(x, self._test_columns, self._test_layers)
        right = self._layers[-1].argmax(axis=1) == self._targets.argmax(axis=1)
        train = np.count_nonzero(right & (self._weights[:, 0] > 0))
        predicted = self._test_layers[-1][0].argmax(axis=0)
        return train, np.count_nonzero(predicted == self._shards.test.labels)

    def _parts(self, flat: np.ndarray) -> list[np.ndarray]:
        """Views of the blocks of a model (d,), or of a model a worker (workers, d)."""
        ends = np.cumsum([np.prod(block.shape) for block in self.blocks])[:-1]
        parts = np.split(flat, ends, axis=-1)
        shapes = [flat.shape[:-1] + block.shape for block in self.blocks]
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _columns(shards: Sequence[Rows], longest: int, dtype: np.dtype) -> np.ndarray:
    """A_i^T of every shard, (shards, p, longest), with zero columns for the rows it lacks."""
    stacked = np.zeros((len(shards), shards[0].features.shape[1], longest), dtype)
    for columns, rows in zip(stacked, shards, strict=True):
        columns[:, : len(rows.labels)] = rows.features.T
    return stacked


def _layers(columns: np.ndarray, widths: Sequence[int]) -> list[np.ndarray]:
    stacked, _, rows = columns.shape
    return [np.zeros((stacked, width, rows), columns.dtype) for width in widths]
