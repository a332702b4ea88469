"""No compression: the baselines, and the dense first round of error feedback."""

import numpy as np

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, SharedCompressor, check_size, fields, refuse
from mpi_lowrank.compressors.wires import AnyWire, wire_dtype


@compressors.register("identity")
class Identity(Compressor):
    """All d numbers of every worker, gathered. alpha = 1 up to the wire's rounding."""

    family = "everything whole"
    examples = ("", "wire=float64", "wire=float16", "wire=bfloat16")

    def __init__(self, block: tuple[int, ...], dtype: np.dtype, *, wire: AnyWire = "float32"):
        self.d, self.wire = int(np.prod(block)), wire_dtype(wire)
        check_size(self.d * self.wire.itemsize)
        self._layout = np.dtype([("numbers", self.wire, (self.d,))])
        self.nbytes = self._layout.itemsize
        self.published_bits = 8 * self.nbytes
        self.alpha, self.omega = 1.0, 0.0
        self._dtype = np.dtype(dtype)

    def prepare(self, local, total):
        self._row = np.empty(self.d, self._dtype)

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
class Dense(SharedCompressor):
    """All d numbers, Allreduced: the baseline that compression has to beat."""

    family = "everything whole"
    examples = ("", "wire=float16", "wire=bfloat16")

    def __init__(self, block: tuple[int, ...], dtype: np.dtype, *, wire: AnyWire = "float32"):
        self.d, self.wire = int(np.prod(block)), wire_dtype(wire)
        self.nbytes = self.d * self.wire.itemsize
        self.published_bits = 8 * self.nbytes
        self.alpha, self.omega = 1.0, 0.0

    def prepare(self, local):
        self._sent = np.empty((local, self.d), self.wire)

    def reduce(self, x, own, mean, generator, generators):
        self._sent[...] = x
        mean[...] = yield self._sent
        if own is not None:
            own[...] = self._sent
