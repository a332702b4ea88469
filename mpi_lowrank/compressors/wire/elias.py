"""Elias omega codes of whole arrays, without a loop over their numbers.

The code of v >= 1 is a chain of groups, each of which tells the length of the next one. A bit in
front of a group says that there is one, and a last 0 that the chain has ended (Elias 1975). Here
the same bits come in another order: first the leading bits of all numbers' first groups, then those
groups' other bits, then the leading bits of the second groups of the numbers that have one, and so
on. So a stream is as long as the codes side by side, and is read group by group for all numbers.
"""

import numpy as np

from mpi_lowrank.compressors.wire.messages import MessageError


def omega_lengths(values: np.ndarray) -> np.ndarray:
    """The bits of the Elias omega code of each value from 1: 1, 3, 3, 6, 6, 6, 6, 7, ..."""
    lengths, left = np.ones(len(values), np.int64), np.asarray(values, np.int64)
    while (left > 1).any():
        bits = np.where(left > 1, _bit_lengths(left), 0)
        lengths += bits
        left = np.where(left > 1, bits - 1, 1)
    return lengths


def _bit_lengths(values: np.ndarray) -> np.ndarray:
    return np.frexp(values.astype(np.float64))[1].astype(np.int64)


def encode(values: np.ndarray) -> list[np.ndarray]:
    """The bits of all values (from 1, int64), as arrays of 0 and 1 to be put side by side."""
    chains, depth = [np.asarray(values, np.int64)], np.zeros(len(values), np.int64)
    while (chains[-1] > 1).any():
        alive = chains[-1] > 1
        depth += alive
        chains.append(np.where(alive, _bit_lengths(chains[-1]) - 1, 1))
    if not len(values):
        return []
    stacked, numbers = np.stack(chains), np.arange(len(values))
    bits, group = [], 1
    while True:
        flags = depth[numbers] >= group
        bits.append(flags.astype(np.uint8))
        numbers = numbers[flags]
        if not len(numbers):
            return bits
        widths = stacked[depth[numbers] - group + 1, numbers]
        bits.append(_low_bits(stacked[depth[numbers] - group, numbers], widths))
        group += 1


def _low_bits(values: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """The `widths` low bits of each value, the lowest first."""
    return ((np.repeat(values, widths) >> _within(widths)) & 1).astype(np.uint8)


def _within(widths: np.ndarray) -> np.ndarray:
    """0, 1, ..., w - 1 for each width w."""
    ends = np.cumsum(widths)
    return np.arange(ends[-1]) - np.repeat(ends - widths, widths)


class BitReader:
    """Reads bits, (length,) of 0 and 1, from the front; running out is a MessageError."""

    def __init__(self, bits: np.ndarray):
        self.bits, self.at = bits, 0

    def take(self, count: int) -> np.ndarray:
        """The next `count` bits."""
        if self.at + count > len(self.bits):
            raise MessageError(f"a stream of {len(self.bits)} bits ends within a code")
        self.at += count
        return self.bits[self.at - count : self.at]

    def omega(self, count: int, largest: int) -> np.ndarray:
        """The next `count` Elias omega codes, of values up to `largest`, int64."""
        values, alive = np.ones(count, np.int64), np.arange(count)
        while len(alive):
            alive = alive[self.take(len(alive)) == 1]
            if not len(alive):
                break
            widths = values[alive]
            if widths.max() >= max(int(largest).bit_length(), 2):
                raise MessageError(f"a code above {largest} in the stream")
            bits = self.take(int(widths.sum())).astype(np.int64) << _within(widths)
            starts = np.cumsum(widths) - widths
            values[alive] = (1 << widths) + np.add.reduceat(bits, starts)
        if count and values.max() > largest:
            raise MessageError(f"a code above {largest} in the stream")
        return values
