"""Levels with their signs as Elias omega codes, which are short where most levels are 0."""

import numpy as np

from mpi_lowrank.compressors.wire.messages import LENGTH, MessageError
from mpi_lowrank.kernels import family
from mpi_lowrank.kernels.plain import elias as plain

HEADER = LENGTH.itemsize
"""Bytes of the number of levels that are not 0."""

COSTLY = 8
"""How many numbers of another family one is worth, when kernels are chosen."""


def omega_lengths(values: np.ndarray) -> np.ndarray:
    """The bits of the Elias omega code of each value from 1: 1, 3, 3, 6, 6, 6, 6, 7, ..."""
    lengths, left = np.ones(len(values), np.int64), np.asarray(values, np.int64)
    while (left > 1).any():
        bits = np.where(left > 1, plain.bit_lengths(left), 0)
        lengths += bits
        left = np.where(left > 1, bits - 1, 1)
    return lengths


class LevelStreams:
    """`count` levels from 0 to `largest` per row, each with a sign at the bit `place`.

    Layout: the number of those that are not 0, a LENGTH, then the stream of `kernels.plain.elias`.
    """

    def __init__(self, count: int, largest: int, place: int):
        self.count, self.largest, self.place = count, largest, place
        self.dtype = np.dtype(np.uint8 if place < 8 else np.uint32)  # kernels know these two
        # The longest stream has every number at the largest level: a gap of 1 takes one bit.
        longest = count * (2 + int(omega_lengths(np.array([largest]))[0]))
        self.nbytes = HEADER + -(-longest // 8)

    def prepare(self, rows: int) -> None:
        """Allocate for up to `rows` rows per call."""
        self._kernels = family("elias", COSTLY * rows * self.count)
        self._counts, self._sizes = np.empty((2, rows), np.int64)
        self._faults = np.empty(rows, np.uint8)

    def pack(self, codes: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Write codes (rows, count) into out (rows, nbytes); the bytes of each row, (rows,)."""
        counts, sizes = self._counts[: len(codes)], self._sizes[: len(codes)]
        self._kernels.write(codes, self.place, out[:, HEADER:], counts, sizes)
        out[:, :HEADER].view(LENGTH)[:, 0] = counts
        sizes += HEADER
        return sizes

    def unpack(self, packed: np.ndarray, sizes: np.ndarray, codes: np.ndarray) -> None:
        """Read packed (rows, nbytes), of which `sizes` (rows,) are meant, into codes.

        Raises MessageError for what `pack` cannot have written.
        """
        counts, lengths = self._counts[: len(codes)], self._sizes[: len(codes)]
        counts[...] = packed[:, :HEADER].view(LENGTH)[:, 0]
        np.subtract(sizes, HEADER, out=lengths)
        if lengths.min() < 0 or counts.max() > self.count:
            raise MessageError(f"a stream of {counts.max()} levels; expected at most {self.count}")
        faults, (streams, largest) = self._faults[: len(codes)], (packed[:, HEADER:], self.largest)
        self._kernels.read(streams, lengths, counts, largest, self.place, codes, faults)
        if faults.any():
            raise MessageError(self._told(int(np.flatnonzero(faults)[0])))

    def _told(self, row: int) -> str:
        """What is wrong with the stream of a row at fault."""
        told = {
            plain.ENDS: f"ends within a code, after {8 * self._sizes[row]} bits",
            plain.ABOVE: f"has a code above {self.count} (gaps) or {self.largest} (levels)",
            plain.BEYOND: f"has a coordinate above d = {self.count}",
            plain.LONGER: "ends before its message",
        }
        return f"the stream {told[int(self._faults[row])]}"
