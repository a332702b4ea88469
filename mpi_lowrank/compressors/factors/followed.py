"""A Kronecker atom at a scale that all workers know: each one sends how far it is from there."""

from dataclasses import replace

import numpy as np

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.factors.discrete import BIAS, Kronecker, power_codes

ZERO, MIDDLE = 0, 2
"""Codes on the wire: nothing is sent; the common scale. 1 and 3 are half and twice of it."""

LOWEST, HIGHEST = 2 - BIAS, BIAS - 1
"""Of the exponent E, so that half and twice of 2^E are within float32's normal range."""


@compressors.register("followed_kronecker")
class FollowedKronecker(Kronecker):
    """`kronecker` with beta one of 0, 2^(E-1), 2^E, 2^(E+1), E an exponent that everybody knows.

    Of these it takes the one nearest to the best beta, and 0 where 2^(E-1) is twice that or more:
    so |C(v) - v| <= |v|. E begins at 0, and after each call moves by the median, rounded down, of
    what all messages of that call said: -2 for 0, and -1, 0, 1. So a scale that nobody knows in
    the beginning is found, at 2 or 1 powers of two per call, and followed when it falls; workers
    whose vectors are much shorter than most wait for it.

    E follows from the messages that arrived, whoever was silent, and is the same on all ranks; so
    everybody has to hear all messages, and neither a server nor a downlink takes this compressor.
    There is no alpha: how much it contracts depends on where E is.

    Wire: m + 2a + 2 bits, for the signs, y, and beta; 2 bytes for 112 numbers as 4 x 32.
    """

    examples = ("", "shape=4x32")

    scale_bits = 2
    overhears = True

    def promised(self):
        return replace(super().promised(), alpha=None)

    def remember(self, state):
        self._scale, self._moved = (state.counter(name) for name in ("E", "moved"))

    def prepare(self, local, total):
        super().prepare(local, total)
        self._codes = np.zeros(total, np.intp)

    def encode(self, x, messages, generators):
        self._scale[...] = np.clip(self._scale + self._moved, LOWEST, HIGHEST)
        self._moved[...] = 0
        super().encode(x, messages, generators)

    def _scale_codes(self, betas, exponents):
        codes = power_codes(betas, exponents)
        np.clip(codes - (BIAS + self._scale), -1, 1, out=codes)
        codes += MIDDLE
        with np.errstate(over="ignore", under="ignore"):
            codes[np.ldexp(betas, exponents - self._scale) <= 0.25] = ZERO
        return codes

    def _betas(self, codes):
        self._codes[: len(codes)] = codes
        return np.where(codes == ZERO, 0, self._powers[codes + (BIAS - MIDDLE + self._scale)])

    def decode_sum(self, messages, weights, out):
        super().decode_sum(messages, weights, out)
        # Until the next call the messages may be read again: E is moved when that begins.
        self._moved[...] = int(np.median(self._codes[: len(messages)])) - MIDDLE
