"""Streams of Elias omega codes, of many rows at once: NumPy, group by group for all of them.

The code of v >= 1 is a chain of groups, each of which tells the length of the next one. A bit in
front of a group says that there is one, and a last 0 that the chain has ended (Elias 1975). Here
the same bits come in another order: first the leading bits of all numbers' first groups, then those
groups' other bits, the lowest first, then the leading bits of the second groups of the numbers that
have one, and so on. So a stream is as long as the codes side by side, and is read group by group
for all numbers.

A row's stream is the codes of the gaps between its numbers whose level is not 0, their signs, one
bit each, and the codes of their levels; the first bit is the highest of its byte.
"""

import numpy as np

ENDS, ABOVE, BEYOND, LONGER = 1, 2, 3, 4
"""What is wrong with a stream: it ends within a code, has a code above the largest allowed, has a
coordinate beyond the last one, or goes on for a byte behind its codes."""


def write(
    codes: np.ndarray, place: int, streams: np.ndarray, counts: np.ndarray, sizes: np.ndarray
) -> None:
    """Write the stream of each row of codes (rows, d): levels, with their signs at bit `place`.

    streams (rows, nbytes) uint8. counts, sizes (rows,) int64 are given the numbers that are not at
    level 0, and the stream's bytes; what is behind those is of no meaning.
    """
    levels = codes & ((1 << place) - 1)
    owners, places = np.divmod(np.flatnonzero(levels), codes.shape[1])
    counts[...] = np.bincount(owners, minlength=len(codes))
    gaps = np.diff(places, prepend=-1)
    firsts = np.flatnonzero(np.diff(owners, prepend=-1))
    gaps[firsts] = places[firsts] + 1
    writer = _Writer(streams)
    writer.omega(owners, gaps)
    writer.put(owners, codes[owners, places] >> place)
    writer.omega(owners, levels[owners, places].astype(np.int64))
    writer.close(sizes)


def read(
    streams: np.ndarray,
    sizes: np.ndarray,
    counts: np.ndarray,
    largest: int,
    place: int,
    codes: np.ndarray,
    faults: np.ndarray,
) -> None:
    """Read streams (rows, nbytes) of `sizes` bytes and `counts` numbers into codes (rows, d).

    See `write`; counts are at most d, levels at most `largest`. faults (rows,) uint8 is given 0, or
    what is wrong with the row's stream; its codes are of no meaning then.
    """
    codes[...] = faults[...] = 0
    reader = _Reader(streams[:, : sizes.max()], sizes, faults)
    owners = np.repeat(np.arange(len(codes)), counts)
    ends = np.cumsum(reader.omega(owners, codes.shape[1]))
    firsts = np.cumsum(counts) - counts
    places = ends - np.concatenate([[0], ends])[firsts][owners] - 1
    signs = reader.bits_at(reader.starts(owners)).astype(np.int64)
    levels = reader.omega(owners, largest)
    reader.blame(owners[places >= codes.shape[1]], BEYOND)
    reader.blame(np.flatnonzero(reader.ends - reader.at >= 8), LONGER)
    sound = reader.sound(owners)
    codes[owners[sound], places[sound]] = (levels | signs << place)[sound]


class _Cursor:
    """The place of each row's next bit, in one array of all rows' bits."""

    def __init__(self, rows, bits):
        self.at = np.arange(rows) * bits

    def starts(self, owners, widths=None):
        """Pass by numbers that belong to the rows `owners`, which increase; where each begins."""
        if widths is None:
            widths = np.ones(len(owners), np.int64)
        passed = np.bincount(owners, widths, len(self.at)).astype(np.int64)
        before = np.cumsum(passed) - passed
        starts = np.cumsum(widths) - widths + (self.at - before)[owners]
        self.at += passed
        return starts


class _Writer(_Cursor):
    def __init__(self, streams):
        rows, nbytes = streams.shape
        super().__init__(rows, 8 * nbytes)
        self.streams, self.begun = streams, self.at.copy()
        self.bits = np.zeros(8 * streams.size, np.uint8)

    def put(self, owners, bits):
        self.bits[self.starts(owners)] = bits

    def omega(self, owners, values):
        """Write the codes of all values, from 1."""
        chains, depth = _chains(values)
        numbers, group = np.arange(len(values)), 1
        while len(numbers):
            flags = depth[numbers] >= group
            self.put(owners[numbers], flags)
            numbers = numbers[flags]
            widths = chains[depth[numbers] - group + 1, numbers]
            within = _within(widths)
            starts = self.starts(owners[numbers], widths)
            low = np.repeat(chains[depth[numbers] - group, numbers], widths) >> within
            self.bits[np.repeat(starts, widths) + within] = low & 1
            group += 1

    def close(self, sizes):
        sizes[...] = -(-(self.at - self.begun) // 8)
        most = sizes.max()
        bits = self.bits.reshape(len(sizes), -1)[:, : 8 * most]
        self.streams[:, :most] = np.packbits(bits, axis=1)


class _Reader(_Cursor):
    def __init__(self, streams, sizes, faults):
        super().__init__(len(streams), 8 * streams.shape[1])
        self.bits, self.faults = np.unpackbits(streams, axis=1).reshape(-1), faults
        self.ends = self.at + 8 * sizes

    def bits_at(self, places):
        """The bits at these places; any bits behind the last one."""
        return self.bits.take(places, mode="clip") if self.bits.size else 0 * places

    def starts(self, owners, widths=None):
        starts = super().starts(owners, widths)
        self.blame(np.flatnonzero(self.at > self.ends), ENDS)
        return starts

    def sound(self, owners):
        return self.faults[owners] == 0

    def blame(self, owners, fault):
        """Note the fault of rows that have none yet."""
        self.faults[owners[self.sound(owners)]] = fault

    def omega(self, owners, largest):
        """A code for each of the `owners`, of a value up to `largest`, int64."""
        values, limit = np.ones(len(owners), np.int64), max(int(largest).bit_length(), 2)
        alive = np.flatnonzero(self.sound(owners))
        while len(alive):
            flags = self.bits_at(self.starts(owners[alive])) == 1
            alive = alive[flags & self.sound(owners[alive])]
            self.blame(owners[alive[values[alive] >= limit]], ABOVE)
            alive = alive[self.sound(owners[alive])]
            starts = self.starts(owners[alive], values[alive])
            sound = self.sound(owners[alive])
            alive, starts = alive[sound], starts[sound]
            values[alive] = self._with_low_bits(values[alive], starts)
        self.blame(owners[values > largest], ABOVE)
        return values

    def _with_low_bits(self, widths, starts):
        """2^w and the number of w bits that begins at each start."""
        if not len(widths):
            return widths
        within = _within(widths)
        bits = self.bits_at(np.repeat(starts, widths) + within).astype(np.int64) << within
        return (1 << widths) + np.add.reduceat(bits, np.cumsum(widths) - widths)


def bit_lengths(values: np.ndarray) -> np.ndarray:
    """The bits of each value, below 2^53, int64."""
    return np.frexp(values.astype(np.float64))[1].astype(np.int64)


def _chains(values):
    """The values, the numbers that tell their groups' lengths, ...; and how many those are."""
    chains, depth = [values], np.zeros(len(values), np.int64)
    while (alive := chains[-1] > 1).any():
        depth += alive
        chains.append(np.where(alive, bit_lengths(chains[-1]) - 1, 1))
    return np.stack(chains), depth


def _within(widths):
    """0, 1, ..., w - 1 for each width w."""
    ends = np.cumsum(widths)
    total = ends[-1] if len(ends) else 0
    return np.arange(total) - np.repeat(ends - widths, widths)
