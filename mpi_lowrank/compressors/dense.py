"""No compression: the baselines, and the dense first round of error feedback."""

import numpy as np

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, SharedCompressor
from mpi_lowrank.compressors.wires import AnyWire, wire_dtype


@compressors.register("identity")
class Identity(Compressor):
    """All d numbers of every worker, gathered. alpha = 1 up to the wire's rounding."""

    def __init__(self, block: tuple[int, ...], dtype: np.dtype, *, wire: AnyWire = "float32"):
        self.published_floats = int(np.prod(block))
        self._wire = wire_dtype(wire)
        self.nbytes = self.published_floats * self._wire.itemsize
        self.alpha, self.omega = 1.0, 0.0
        self._dtype = np.dtype(dtype)

    def prepare(self, local, total):
        self._row = np.empty(self.published_floats, self._dtype)

    def encode(self, x, messages, generators):
        messages.view(self._wire)[...] = x

    def decode(self, messages, out):
        out[...] = messages.view(self._wire)

    def decode_sum(self, messages, weights, out):
        out[:] = 0
        for message, weight in zip(messages.view(self._wire), weights, strict=True):
            self._row[...] = message
            self._row *= weight
            out += self._row


@compressors.register("dense")
class Dense(SharedCompressor):
    """All d numbers, Allreduced: the baseline that compression has to beat."""

    def __init__(self, block: tuple[int, ...], dtype: np.dtype, *, wire: AnyWire = "float32"):
        self.published_floats = int(np.prod(block))
        self._wire = wire_dtype(wire)
        self.nbytes = self.published_floats * self._wire.itemsize
        self.alpha, self.omega = 1.0, 0.0

    def prepare(self, local):
        self._sent = np.empty((local, self.published_floats), self._wire)

    def reduce(self, x, own, mean, generator):
        self._sent[...] = x
        mean[...] = yield self._sent
        if own is not None:
            own[...] = self._sent
