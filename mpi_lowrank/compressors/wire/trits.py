"""Numbers of three values, five to a byte."""

import numpy as np

from mpi_lowrank.compressors.wire.messages import MessageError

_POWERS = 3 ** np.arange(5)
_DIGITS = (np.arange(243)[:, np.newaxis] // _POWERS % 3).astype(np.uint8)


class Trits:
    """`count` numbers from 0 to 2 in ceil(count / 5) bytes per row: 1.6 bits each, 3^5 = 243."""

    dtype = np.dtype(np.uint8)

    def __init__(self, count: int):
        self.count = count
        self.nbytes = -(-count // 5)

    def prepare(self, rows: int) -> None:
        """Allocate for up to `rows` rows per call."""
        self._digits = np.zeros((rows, self.nbytes, 5), np.uint8)

    def pack(self, values: np.ndarray, out: np.ndarray) -> None:
        """Write values (rows, count) into out (rows, nbytes)."""
        n = len(values)
        digits = self._digits[:n]
        digits.reshape(n, -1)[:, : self.count] = values
        digits.reshape(n, -1)[:, self.count :] = 0
        out[...] = digits[:, :, 4]
        for place in (3, 2, 1, 0):
            out *= 3
            out += digits[:, :, place]

    def unpack(self, packed: np.ndarray, values: np.ndarray) -> None:
        """Read packed (rows, nbytes) into values (rows, count)."""
        if packed.shape[1] != self.nbytes:
            raise MessageError(f"{self.count} trits take {self.nbytes} bytes")
        if packed.size and packed.max() >= len(_DIGITS):
            raise MessageError(f"five trits make at most {len(_DIGITS) - 1}; got {packed.max()}")
        n = len(packed)
        np.take(_DIGITS, packed, axis=0, out=self._digits[:n], mode="clip")
        values[...] = self._digits[:n].reshape(n, -1)[:, : self.count]
