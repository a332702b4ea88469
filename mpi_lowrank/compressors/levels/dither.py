"""Rounding up with a given probability, from a byte of random bits per number."""

from collections.abc import Callable, Sequence

import numpy as np

BYTE = 8
"""Random bits per number: eight numbers to a draw of 64."""

_CHUNK = 1 << 13
"""Words per call of the bit generator, which returns them in a new array."""


def behind(fixed: np.ndarray, point: int) -> np.ndarray:
    """What numbers with `point` bits behind the point hold behind the first eight of these."""
    unit = 1 << (point - BYTE)
    return (fixed & (unit - 1)) / unit


class Dither:
    """Adds a uniform number in [0, 1) to each fixed-point number, so that cutting it off rounds it.

    A number between two integers goes to the upper one with a probability that is its share of the
    way. A random byte is added to the first eight bits behind the point; only where these come out
    as 255 do the bits behind them matter, one time in 256, and 53 more bits decide. So the
    probability is off by less than 2^-61. Not `random`: one half is added, which rounds to nearest.
    """

    def __init__(self, d: int, random: bool):
        self.d, self.random = d, random

    def prepare(self, rows: int, dtype: np.dtype) -> None:
        """Allocate for up to `rows` rows of fixed-point numbers of that dtype, an integer."""
        self._words = np.zeros((rows, -(-self.d // BYTE)), np.uint64)
        self._words.view(np.uint8)[...] = 128
        self._added, self._tied = np.empty((rows, self.d), dtype), np.empty((rows, self.d), bool)

    def add(
        self,
        fixed: np.ndarray,
        point: int,
        below: Callable[[np.ndarray], np.ndarray],
        generators: Sequence[np.random.Generator],
    ) -> None:
        """Add to `fixed` (rows, d), contiguous, with `point` bits behind the point, 8 or more.

        `below(places)`: what lies behind those eight bits at these places of the flat array, in
        units of the last one, float in [0, 1].
        """
        last = point - BYTE
        dithers, tied = self.draw(len(fixed), generators)
        added = self._added[: len(fixed)]
        np.left_shift(dithers[:, : self.d], last, out=added, dtype=added.dtype)
        fixed += added
        np.bitwise_and(fixed, 255 << last, out=added)
        np.equal(added, 255 << last, out=tied)
        fixed.reshape(-1)[self.carried(tied, below, generators)] += 1 << last

    def draw(
        self, rows: int, generators: Sequence[np.random.Generator]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The bytes, (rows, d or some more), and room (rows, d) for where they do not decide."""
        words = self._words[:rows]
        if self.random:
            self._draw(words, generators)
        return words.view(np.uint8), self._tied[:rows]

    def carried(
        self,
        tied: np.ndarray,
        below: Callable[[np.ndarray], np.ndarray],
        generators: Sequence[np.random.Generator],
    ) -> np.ndarray:
        """The places of the `tied` that go up; `below` as in `add`."""
        if not self.random:
            return np.zeros(0, np.intp)
        places = np.flatnonzero(tied)
        up: np.ndarray = places[self._more(places, generators) < below(places)]
        return up

    def _draw(self, words, generators):
        for row, generator in zip(words, generators, strict=True):
            raw = generator.bit_generator.random_raw
            for at in range(0, len(row), _CHUNK):
                part = row[at : at + _CHUNK]
                part[:] = raw(len(part))

    def _more(self, places, generators):
        """A uniform number for each place, each row's from its own generator."""
        drawn, rows = np.empty(len(places)), np.arange(len(generators) + 1)
        ends = np.searchsorted(places, rows * self.d).tolist()
        for generator, begin, end in zip(generators, ends[:-1], ends[1:], strict=True):
            if end > begin:
                drawn[begin:end] = generator.random(end - begin)
        return drawn
