"""No compression: the baseline, and the dense first round of error feedback."""

import numpy as np

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, Wire, fields


@compressors.register("identity")
class Identity(Compressor):
    """All d numbers, rounded to the wire's type. alpha = 1 up to that rounding."""

    def __init__(self, block: tuple[int, ...], dtype: np.dtype, *, wire: Wire = "float32"):
        self.published_floats = int(np.prod(block))
        self._layout = np.dtype([("values", wire, (self.published_floats,))])
        self.nbytes = self._layout.itemsize
        self.alpha, self.omega = 1.0, 0.0

    def encode(self, x, messages, generators):
        fields(messages, self._layout)["values"][...] = x

    def decode(self, messages, out):
        out[...] = fields(messages, self._layout)["values"]

    def decode_mean(self, messages, out):
        values = fields(messages, self._layout)["values"]
        out[:] = values[0]
        for row in values[1:]:
            out += row
        out /= len(values)
