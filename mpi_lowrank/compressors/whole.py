"""No compression: the baselines, and the dense first round of error feedback."""

import numpy as np

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, Promise, SharedCompressor
from mpi_lowrank.compressors.wire.messages import check_size, fields, refuse
from mpi_lowrank.compressors.wire.numbers import AnyWired


@compressors.register("identity")
class Identity(AnyWired, Compressor):
    """All d numbers of every worker, gathered. alpha = 1 up to the wire's rounding."""

    family = "everything whole"
    examples = ("", "wire=float64", "wire=float16", "wire=bfloat16")

    def promised(self):
        nbytes = self.d * self.number.itemsize
        check_size(nbytes)
        self._layout = np.dtype([("numbers", self.number, (self.d,))])
        return Promise(nbytes, 8 * nbytes, omega=0.0, precision=self.number)

    def prepare(self, local, total):
        self._row = np.empty(self.d, self.dtype)

    def encode(self, x, messages, generators):
        fields(messages, self._layout)["numbers"][...] = x

    def decode(self, messages, out):
        out[...] = fields(messages, self._layout)["numbers"]
        refuse(self.name, out)

    def decode_sum(self, messages, weights, out):
        out[:] = 0
        numbers = fields(messages, self._layout)["numbers"]
        for message, weight in zip(numbers, weights, strict=True):
            self._row[...] = message
            self._row *= weight
            out += self._row
        refuse(self.name, out)


@compressors.register("dense")
class Dense(AnyWired, SharedCompressor):
    """All d numbers, Allreduced: the baseline that compression has to beat."""

    family = "everything whole"
    examples = ("", "wire=float16", "wire=bfloat16")

    def promised(self):
        nbytes = self.d * self.number.itemsize
        return Promise(nbytes, 8 * nbytes, omega=0.0, precision=self.number)

    def prepare(self, local, total):
        self._sent = np.empty((local, self.d), self.number)

    def reduce(self, x, own, mean, generator, generators):
        self._sent[...] = x
        mean[...] = yield self._sent
        if own is not None:
            own[...] = self._sent
