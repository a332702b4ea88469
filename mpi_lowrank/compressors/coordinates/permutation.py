"""Workers that divide the coordinates among themselves."""

from typing import Literal

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, Promise, equal_error
from mpi_lowrank.compressors.wire.bits import bits_for
from mpi_lowrank.compressors.wire.messages import MessageError, check_size, fields, refuse
from mpi_lowrank.compressors.wire.numbers import Wired
from mpi_lowrank.errors import OptionError


@compressors.register("permk")
class PermK(Wired, Compressor):
    """Worker i of n sends, times n, the i-th part of a permutation of the coordinates.

    All share the permutation (Szlendak, Tyurin, Richtarik 2021). `scale = "unbiased"`: omega =
    n - 1, with equality for every x, and the mean of equal vectors is exact. "contractive": the
    values as they are, alpha = 1/n. Wire: the worker's number in ceil(log2 n) bits, rounded up to
    bytes, and ceil(d/n) numbers; no indices.

    With `copies` = s each coordinate is sent by s of the workers, times n/s: omega = n/s - 1, alpha
    = s/n, ceil(s d / n) numbers (the template of CompressedScaffnew: Condat, Agarsky, Richtarik
    2022).
    """

    family = "some coordinates"
    examples = ("", "scale=contractive", "copies=2")

    scale: Literal["unbiased", "contractive"] = option("unbiased")
    copies: int = option(1)

    def promised(self):
        if not 1 <= self.copies <= self.workers:
            allowed = f"an integer from 1 to {self.workers}, the workers"
            raise OptionError("copies", self.copies, allowed)
        self.n, self.k = self.workers, -(-self.copies * self.d // self.workers)
        self._times = self.n / self.copies
        check_size(self.k * self.number.itemsize)
        number = ("worker", "u1", (-(-bits_for(self.n) // 8),))
        self._layout = np.dtype([number, ("values", self.number, (self.k,))])
        nbytes, bits = self._layout.itemsize, self.k * 8 * self.number.itemsize
        if self.scale == "unbiased":
            return Promise(nbytes, bits, omega=self._times - 1, common=True, precision=self.number)
        return Promise(nbytes, bits, alpha=1 / self._times, common=True, precision=self.number)

    def prepare(self, local, total):
        self._slots = np.empty((self.n, self.k), np.intp)
        self._padded = np.zeros((max(local, total), self.d + 1), self.dtype)

    def worst_case(self):
        return np.arange(1.0, self.d + 1)

    def expected_error(self, x):
        return equal_error(self, x)

    def begin(self, generator, workers):
        self._workers = np.asarray(workers)
        self._slots[...] = self._dealt(generator)

    def _dealt(self, generator):
        """The coordinates of each worker, (n, k); coordinate d, which is always 0, fills rows up.

        A coordinate's copies go to neighbouring columns, and the columns to workers at random.
        """
        fill = np.full(self.n * self.k - self.copies * self.d, self.d)
        if self.copies == 1:
            slots = np.append(np.arange(self.d), fill)
            return generator.permutation(slots).reshape(self.n, self.k)
        copied = np.repeat(generator.permutation(self.d), self.copies)
        columns = np.append(copied, fill).reshape(self.k, self.n).T
        return columns[generator.permutation(self.n)]

    def sent(self, out: np.ndarray) -> None:
        """Mark the coordinates that each local worker has sent in this round, (workers, d) bool."""
        marked = np.zeros((len(out), self.d + 1), bool)
        np.put_along_axis(marked, self._slots[self._workers], True, axis=1)
        out[...] = marked[:, : self.d]

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
            values *= self._times
        np.put_along_axis(padded, self._slots[workers], values, axis=1)
        out[...] = padded[:, : self.d]
