"""One bit per coordinate."""

import numpy as np

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, Promise
from mpi_lowrank.compressors.wire.bits import BitFields
from mpi_lowrank.compressors.wire.messages import MessageError
from mpi_lowrank.compressors.wire.numbers import Wired


@compressors.register("scaled_sign")
class ScaledSign(Wired, Compressor):
    """(|x|_1 / d) sign(x), the best multiple of the signs (Karimireddy et al. 2019).

    |C(x) - x|^2 = |x|^2 - |x|_1^2 / d: alpha = 1/d, attained at one-hot vectors; flat vectors are
    exact. The sign of 0 counts as +. Wire: one number and ceil(d / 8) bytes.
    """

    def promised(self):
        self._signs = BitFields(self.d, 1)
        self._header = header = self.number.itemsize
        nbytes, bits = header + self._signs.nbytes, 8 * header + self.d
        return Promise(nbytes, bits, alpha=1 / self.d, precision=self.number)

    def prepare(self, local, total):
        self._magnitude = np.empty((local, self.d), self.dtype)
        self._bits = np.empty((local, self.d), np.uint8)
        self._signs.prepare(local)
        # What the eight signs of a byte stand for.
        numbers = np.unpackbits(np.arange(256, dtype=np.uint8), bitorder="little")
        self._table = np.subtract(1, 2 * numbers.reshape(256, 8), dtype=self.dtype)
        self._room = np.empty((total, self._signs.nbytes, 8), self.dtype)

    def worst_case(self):
        return np.eye(1, self.d)[0]

    def expected_error(self, x):
        x = x.astype(np.float64)
        return (x**2).sum(axis=1) - np.abs(x).sum(axis=1) ** 2 / self.d

    def encode(self, x, messages, generators):
        n = len(x)
        magnitude = np.abs(x, out=self._magnitude[:n])
        magnitude /= self.d  # first, so that the sum of huge numbers stays in range
        messages[:, : self._header].view(self.number)[:, 0] = magnitude.sum(axis=1)
        np.less(x, 0, out=self._bits[:n].view(bool))
        self._signs.pack(self._bits[:n], messages[:, self._header :])

    def decode(self, messages, out):
        scales = messages[:, : self._header].view(self.number)
        if not (np.isfinite(scales).all() and (scales >= 0).all()):
            raise MessageError(f"{self.name}: a scale is finite and not negative; got {scales}")
        packed, room = messages[:, self._header :], self._room[: len(messages)]
        np.take(self._table, packed, axis=0, out=room, mode="clip")
        np.multiply(room.reshape(len(room), -1)[:, : self.d], scales, out=out, dtype=self.dtype)
