"""Levels that all workers have in common: they are Allreduced as integers."""

from math import sqrt

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Largest, Promise, SharedCompressor
from mpi_lowrank.errors import OptionError

_SCALE = np.dtype(np.float32)
"""The type of `shared_qsgd`'s largest number."""


@compressors.register("shared_qsgd")
class SharedQSGD(SharedCompressor):
    """QSGD relative to the largest number of all workers, summed as integers.

    Two Allreduces: the maximum M of max_j |x_ij|, then the levels sign(x_ij) floor(s |x_ij|/M + u),
    u drawn by each worker for itself, s = `levels`, in the smallest signed type that holds n s.
    Unbiased, but not linear. `omega` bounds all n workers together: sum_i E|C_i - x_i|^2 <= omega
    sum_i |x_i|^2 with omega = (sqrt(1 + (n d - 1)/s^2) - 1)/2, that of QSGD with the l-infinity
    norm on the vectors end to end, and as tight; of one worker beside larger ones no multiple of
    its own square bounds the error. Global-QSGD, Xin et al. 2023. Wire: 4 bytes and d levels.
    """

    linear = False
    examples = ("levels=4", "levels=31")

    levels: int = option(4)

    def promised(self):
        if not 1 <= self.levels <= 2**15:
            raise OptionError("levels", self.levels, "an integer from 1 to 32768")
        kinds = (np.int8, np.int16, np.int32)
        fitting = [kind for kind in kinds if np.iinfo(kind).max >= self.workers * self.levels]
        if not fitting:
            n, largest = self.workers, np.iinfo(np.int32).max // self.workers
            raise OptionError("levels", self.levels, f"at most {largest} with {n} workers")
        self._kind = np.dtype(fitting[0])
        omega = (sqrt(1 + (self.workers * self.d - 1) / self.levels**2) - 1) / 2
        nbytes = _SCALE.itemsize + self.d * self._kind.itemsize
        return Promise(nbytes, 8 * nbytes, omega=omega, random=True, precision=_SCALE)

    def expected_error(self, x):
        """That of workers who hold the rows of x, and no others."""
        scale = _rounded_up(np.abs(x).max(keepdims=True), _SCALE).item()
        y = np.abs(x).astype(np.float64) * (self.levels / scale if scale > 0 else 0)
        part = y - np.floor(y)
        return (scale / self.levels) ** 2 * (part * (1 - part)).sum(axis=1)

    def prepare(self, local, total):
        self._scaled, self._draws = (np.empty((local, self.d), self.dtype) for _ in range(2))
        self._sent = np.empty((local, self.d), self._kind)

    def reduce(self, x, own, mean, generator, generators):
        n = len(x)
        scaled, draws = np.abs(x, out=self._scaled[:n]), self._draws[:n]
        largest = _rounded_up(scaled.max(axis=1, keepdims=True), _SCALE)
        scale = float((yield Largest(largest))[0])
        scaled /= scale if scale > 0 else np.inf  # at most 1: levels / scale may overflow
        scaled *= self.levels
        for row, own_draws in zip(draws, generators, strict=True):
            own_draws.random(out=row, dtype=self.dtype.type)
        scaled += draws
        np.floor(scaled, out=scaled)
        np.minimum(scaled, self.levels, out=scaled)
        np.copysign(scaled, x, out=scaled)
        sent = self._sent[:n]
        np.copyto(sent, scaled, casting="unsafe")
        step = self.dtype.type(scale / self.levels)
        np.multiply((yield sent), step, out=mean)
        if own is not None:
            np.multiply(scaled, step, out=own)


def _rounded_up(exact: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The least numbers of that type that none of `exact` exceeds."""
    nearest = exact.astype(dtype)
    return np.nextafter(nearest, dtype.type(np.inf), out=nearest, where=nearest < exact)
