"""Coordinates that all workers have in common: their values are Allreduced."""

from typing import Literal

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Promise, SharedCompressor, equal_error
from mpi_lowrank.compressors.wire.numbers import Wired
from mpi_lowrank.errors import OptionError


@compressors.register("shared_randk")
class SharedRandK(Wired, SharedCompressor):
    """k coordinates drawn uniformly, the same for all workers: no indices are sent.

    Linear: the mean of the compressed vectors is their compressed mean. `scale = "contractive"`
    keeps the values: alpha = k/d; "unbiased" multiplies them by d/k: omega = d/k - 1. Both hold
    with equality for every x, for a worker and for the mean. Wire: k numbers.
    """

    family = "some coordinates"
    examples = ("k=8", "k=8,scale=unbiased")

    k: int = option()
    scale: Literal["contractive", "unbiased"] = option("contractive")

    def promised(self):
        if not 1 <= self.k <= self.d:
            raise OptionError("k", self.k, f"an integer from 1 to d = {self.d}")
        nbytes, number = self.k * self.number.itemsize, self.number
        self._factor = self.dtype.type(self.d / self.k if self.scale == "unbiased" else 1)
        if self.scale == "unbiased":
            omega = self.d / self.k - 1
            return Promise(nbytes, 8 * nbytes, omega=omega, common=True, precision=number)
        alpha = self.k / self.d
        return Promise(nbytes, 8 * nbytes, alpha=alpha, common=True, precision=number)

    def prepare(self, local, total):
        self._kept = np.empty((local, self.k), self.dtype)
        self._sent = np.empty((local, self.k), self.number)

    def worst_case(self):
        return np.arange(1.0, self.d + 1)

    def expected_error(self, x):
        return equal_error(self, x)

    def reduce(self, x, own, mean, generator, generators):
        coordinates = generator.choice(self.d, self.k, replace=False, shuffle=False)
        np.take(x, coordinates, axis=1, out=self._kept, mode="clip")
        self._sent[...] = self._kept
        values = yield self._sent
        mean[...] = 0
        mean[coordinates] = self._factor * values
        if own is not None:
            self._kept[...] = self._sent
            self._kept *= self._factor
            own[...] = 0
            own[:, coordinates] = self._kept
