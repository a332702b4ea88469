"""Unsigned numbers of a few bits each, packed without gaps."""

import numpy as np

from mpi_lowrank.compressors.wire.messages import MessageError

_GATHER = np.uint64(0x0102040810204080)
"""Multiplied by eight bytes of 0 or 1, it leaves their bits in the top byte, the first lowest."""

_SPREAD = np.unpackbits(
    np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1, bitorder="little"
).view(np.uint64)[:, 0]
"""The eight bits of a byte as eight bytes of 0 or 1."""


def bits_for(values: int) -> int:
    """ceil(log2 values): the bits that tell so many values apart."""
    return (values - 1).bit_length()


class BitFields:
    """`count` numbers of `width` bits in ceil(count width / 8) bytes per row.

    Layout: the low bytes of all numbers, one plane of `count` bytes for each whole byte of the
    width; then the bits that are left, one plane behind the other, packed eight to a byte. A single
    number's are its own bytes, the lowest first.
    """

    def __init__(self, count: int, width: int):
        self.count, self.width = count, width
        self.nbytes = -(-count * width // 8)
        self.dtype = np.min_scalar_type((1 << width) - 1)
        self._whole, self._rest = divmod(width, 8)

    def prepare(self, rows: int) -> None:
        """Allocate for up to `rows` rows per call."""
        self._single = np.zeros((rows, 1), np.dtype("<u8"))
        bits = 8 * -(-self.count * self._rest // 8)
        self._words = np.zeros((rows, bits // 8), np.uint64)
        planes = self._words.view(np.uint8)[:, : self.count * self._rest]
        self._planes = planes.reshape(rows, self._rest, self.count)
        self._shifted = np.empty(self._planes.shape, self.dtype)
        self._byte = np.empty((rows, self.count if self._whole else 0), self.dtype)
        shifts = np.arange(8 * self._whole, self.width, dtype=self.dtype)
        self._shifts = shifts[:, np.newaxis]

    def pack(self, values: np.ndarray, out: np.ndarray) -> None:
        """Write values (rows, count), below 2^width, into out (rows, nbytes)."""
        n, count = values.shape
        if count == 1:
            self._single[:n] = values
            out[...] = self._single[:n].view(np.uint8)[:, : self.nbytes]
            return
        for byte in range(self._whole):
            plane = out[:, byte * count : (byte + 1) * count]
            np.right_shift(values, 8 * byte, out=plane, casting="unsafe")
        if not self._rest:
            return
        planes, words = self._planes[:n], self._words[:n]
        shifted = np.right_shift(values[:, np.newaxis], self._shifts, out=self._shifted[:n])
        np.bitwise_and(shifted, 1, out=planes, casting="unsafe")
        words.view(np.uint8)[:, self._rest * count :] = 0
        np.multiply(words, _GATHER, out=words)
        np.right_shift(words, 56, out=words)
        out[:, self._whole * count :] = words

    def unpack(self, packed: np.ndarray, values: np.ndarray) -> None:
        """Read packed (rows, nbytes) into values (rows, count), of a type that holds them."""
        n, count = values.shape
        if packed.shape[1] != self.nbytes:
            raise MessageError(f"{count} fields take {self.nbytes} bytes; got {packed.shape[1]}")
        if count == 1:
            single = self._single[:n]
            single.view(np.uint8)[:, : self.nbytes] = packed
            np.bitwise_and(single, (1 << self.width) - 1, out=values, casting="unsafe")
            return
        if self._rest:
            _SPREAD.take(packed[:, self._whole * count :], out=self._words[:n], mode="clip")
            shifted = np.left_shift(self._planes[:n], self._shifts, out=self._shifted[:n])
            np.bitwise_or.reduce(shifted, axis=1, out=values)
        else:
            values[...] = 0
        for byte in range(self._whole):
            plane = packed[:, byte * count : (byte + 1) * count]
            shifted = np.left_shift(plane, 8 * byte, out=self._byte[:n], dtype=self.dtype)
            np.bitwise_or(values, shifted, out=values)
