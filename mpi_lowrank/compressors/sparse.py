"""Compressors that keep k of d coordinates: values and their indices."""

from abc import abstractmethod
from typing import Literal

import numpy as np

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, Wire, fields
from mpi_lowrank.errors import OptionError


class Sparsifier(Compressor):
    """A message holds k values and k indices in the smallest unsigned type that holds d - 1.

    Wire: k (bytes of `wire` + bytes of the index). Subclasses choose the coordinates.
    """

    scale = 1.0
    """What the kept values are multiplied by."""

    def __init__(self, block: tuple[int, ...], dtype: np.dtype, *, k: int, wire: Wire = "float32"):
        self.d, self.k, self.dtype = int(np.prod(block)), k, np.dtype(dtype)
        if not 1 <= k <= self.d:
            raise OptionError("k", k, f"an integer from 1 to d = {self.d}")
        index = np.min_scalar_type(self.d - 1)
        self._layout = np.dtype([("values", wire, (k,)), ("indices", index, (k,))])
        self.nbytes = self._layout.itemsize
        self.published_floats = k

    def prepare(self, local, total):
        self._kept = np.empty((local, self.k), self.dtype)
        self._values = np.empty((total, self.k), self.dtype)
        self._positions = np.empty((total, self.k), np.intp)
        self._offsets = np.arange(total)[:, np.newaxis] * self.d

    @abstractmethod
    def select(self, x: np.ndarray, generators) -> np.ndarray:
        """The coordinates to keep, (workers, k) int64, increasing along a row."""

    def encode(self, x, messages, generators):
        message = fields(messages, self._layout)
        coordinates = self.select(x, generators)
        message["indices"][...] = coordinates
        positions = np.add(coordinates, self._offsets[: len(x)], out=self._positions[: len(x)])
        kept = self._kept[: len(x)]
        np.take(x.reshape(-1), positions, out=kept, mode="clip")
        np.multiply(kept, self.scale, out=message["values"], casting="same_kind")

    def decode(self, messages, out):
        message = fields(messages, self._layout)
        n = len(messages)
        positions = np.add(message["indices"], self._offsets[:n], out=self._positions[:n])
        out[...] = 0
        out.reshape(-1)[positions] = message["values"]

    def decode_sum(self, messages, weights, out):
        message = fields(messages, self._layout)
        n = len(messages)
        positions, values = self._positions[:n], self._values[:n]
        positions[...], values[...] = message["indices"], message["values"]
        values *= weights[:, np.newaxis]
        out[:] = 0
        np.add.at(out, positions.reshape(-1), values.reshape(-1))


@compressors.register("topk")
class TopK(Sparsifier):
    """The k coordinates of largest magnitude; of equal ones, those of lowest index.

    alpha = k/d, attained at flat vectors (Stich, Cordonnier, Jaggi 2018).
    """

    def __init__(self, block: tuple[int, ...], dtype: np.dtype, *, k: int, wire: Wire = "float32"):
        super().__init__(block, dtype, k=k, wire=wire)
        self.alpha = k / self.d

    def prepare(self, local, total):
        super().prepare(local, total)
        self._magnitudes = np.empty((local, self.d), self.dtype)
        self._ordered = np.empty_like(self._magnitudes)
        self._mask = np.empty((local, self.d), bool)

    def select(self, x, generators):
        n = len(x)
        magnitudes = np.abs(x, out=self._magnitudes[:n])
        ordered, mask = self._ordered[:n], self._mask[:n]
        np.copyto(ordered, magnitudes)
        ordered.partition(self.d - self.k, axis=1)
        threshold = ordered[:, self.d - self.k, np.newaxis]
        np.greater_equal(magnitudes, threshold, out=mask)
        if np.count_nonzero(mask) > n * self.k:
            self._drop_late_ties(magnitudes, threshold, mask)
        return (np.flatnonzero(mask) % self.d).reshape(n, self.k)

    def _drop_late_ties(self, magnitudes, threshold, mask):
        """Of the coordinates at the threshold keep the first ones, so that a row keeps k."""
        tied = magnitudes == threshold
        spare = self.k - np.count_nonzero(magnitudes > threshold, axis=1)
        mask &= ~tied | (np.cumsum(tied, axis=1) <= spare[:, np.newaxis])


@compressors.register("randk")
class RandK(Sparsifier):
    """k coordinates drawn uniformly without replacement by each worker for itself.

    `scale = "contractive"` keeps the values: alpha = k/d, with equality for every x.
    `scale = "unbiased"` multiplies them by d/k: omega = d/k - 1, with equality for every x.
    """

    random = True

    def __init__(
        self,
        block: tuple[int, ...],
        dtype: np.dtype,
        *,
        k: int,
        scale: Literal["contractive", "unbiased"] = "contractive",
        wire: Wire = "float32",
    ):
        super().__init__(block, dtype, k=k, wire=wire)
        if scale == "unbiased":
            self.scale, self.omega = self.d / k, self.d / k - 1
        else:
            self.alpha = k / self.d

    def prepare(self, local, total):
        super().prepare(local, total)
        self._coordinates = np.empty((local, self.k), np.int64)

    def select(self, x, generators):
        rows = self._coordinates[: len(x)]
        for row, generator in zip(rows, generators, strict=True):
            row[:] = generator.choice(self.d, self.k, replace=False, shuffle=False)
        rows.sort(axis=1)
        return rows
