"""Workers that share the coordinates out among them."""

from typing import Literal

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, Promise, equal_error
from mpi_lowrank.compressors.wire.bits import bits_for
from mpi_lowrank.compressors.wire.messages import MessageError, check_size, fields, refuse
from mpi_lowrank.compressors.wire.numbers import Wired


@compressors.register("permk")
class PermK(Wired, Compressor):
    """Worker i of n sends, times n, the i-th part of a permutation of the coordinates.

    All share the permutation (Szlendak, Tyurin, Richtarik 2021). `scale = "unbiased"`: omega =
    n - 1, with equality for every x, and the mean of equal vectors is exact. "contractive": the
    values as they are, alpha = 1/n. Wire: the worker's number in ceil(log2 n) bits, rounded up to
    bytes, and ceil(d/n) numbers; no indices.
    """

    family = "some coordinates"
    examples = ("", "scale=contractive")

    scale: Literal["unbiased", "contractive"] = option("unbiased")

    def promised(self):
        self.n, self.k = self.workers, -(-self.d // self.workers)
        check_size(self.k * self.number.itemsize)
        number = ("worker", "u1", (-(-bits_for(self.n) // 8),))
        self._layout = np.dtype([number, ("values", self.number, (self.k,))])
        nbytes, bits = self._layout.itemsize, self.k * 8 * self.number.itemsize
        if self.scale == "unbiased":
            return Promise(nbytes, bits, omega=self.n - 1, common=True, precision=self.number)
        return Promise(nbytes, bits, alpha=1 / self.n, common=True, precision=self.number)

    def prepare(self, local, total):
        self._slots = np.empty((self.n, self.k), np.intp)
        self._padded = np.zeros((max(local, total), self.d + 1), self.dtype)

    def worst_case(self):
        return np.arange(1.0, self.d + 1)

    def expected_error(self, x):
        return equal_error(self, x)

    def begin(self, generator, workers):
        # Slots behind the permutation belong to a coordinate d that is always 0.
        slots = np.append(np.arange(self.d), np.full(self.n * self.k - self.d, self.d))
        self._slots[...] = generator.permutation(slots).reshape(self.n, self.k)
        self._workers = np.asarray(workers)

    def encode(self, x, messages, generators):
        message, padded = fields(messages, self._layout), self._padded[: len(x)]
        padded[:, : self.d] = x
        padded[:, self.d] = 0
        numbers = self._workers[:, np.newaxis] >> 8 * np.arange(message["worker"].shape[1])
        message["worker"][...] = numbers & 255
        values = np.take_along_axis(padded, self._slots[self._workers], axis=1)
        message["values"][...] = values

    def decode(self, messages, out):
        message, padded = fields(messages, self._layout), self._padded[: len(messages)]
        places = 256 ** np.arange(message["worker"].shape[1])
        workers = (message["worker"] * places).sum(axis=1)
        if len(workers) and workers.max() >= self.n:
            raise MessageError(f"{self.name}: worker {workers.max()} of {self.n}")
        padded[...] = 0
        values = message["values"].astype(self.dtype)
        refuse(self.name, values)
        if self.scale == "unbiased":
            values *= self.n
        np.put_along_axis(padded, self._slots[workers], values, axis=1)
        out[...] = padded[:, : self.d]
