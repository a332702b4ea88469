"""Vector compressors whose coefficients are Allreduced: common coordinates, common levels."""

from math import sqrt
from typing import Literal

import numpy as np

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Largest, SharedCompressor, Wire
from mpi_lowrank.compressors.sparsification import equal_error
from mpi_lowrank.errors import OptionError


@compressors.register("shared_randk")
class SharedRandK(SharedCompressor):
    """k coordinates drawn uniformly, the same for all workers: no indices are sent.

    Linear, so that the mean is the mean's. `scale = "contractive"` keeps the values: alpha = k/d;
    "unbiased" multiplies them by d/k: omega = d/k - 1; both with equality for every x, for a worker
    and for the mean. Wire: k numbers.
    """

    family = "some coordinates"
    common = True
    examples = ("k=8", "k=8,scale=unbiased")

    def __init__(
        self,
        block: tuple[int, ...],
        dtype: np.dtype,
        *,
        k: int,
        scale: Literal["contractive", "unbiased"] = "contractive",
        wire: Wire = "float32",
    ):
        self.d, self.k, self.wire = int(np.prod(block)), k, np.dtype(wire)
        self.dtype = np.dtype(dtype)
        if not 1 <= k <= self.d:
            raise OptionError("k", k, f"an integer from 1 to d = {self.d}")
        self.nbytes = k * self.wire.itemsize
        self.published_bits = 8 * self.nbytes
        self._scale = self.dtype.type(1)
        if scale == "unbiased":
            self._scale = self.dtype.type(self.d / k)
            self.promise_unbiased(self.d / k - 1)
        else:
            self.alpha = k / self.d

    def prepare(self, local):
        self._kept = np.empty((local, self.k), self.dtype)
        self._sent = np.empty((local, self.k), self.wire)

    def worst_case(self):
        return np.arange(1.0, self.d + 1)

    def expected_error(self, x):
        return equal_error(self, x)

    def reduce(self, x, own, mean, generator, generators):
        coordinates = generator.choice(self.d, self.k, replace=False, shuffle=False)
        np.take(x, coordinates, axis=1, out=self._kept, mode="clip")
        self._sent[...] = self._kept
        values = yield self._sent
        mean[...] = 0
        mean[coordinates] = self._scale * values
        if own is not None:
            self._kept[...] = self._sent
            self._kept *= self._scale
            own[...] = 0
            own[:, coordinates] = self._kept


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
    random = True
    examples = ("levels=4", "levels=31")
    wire = np.dtype(np.float32)

    def __init__(self, block: tuple[int, ...], dtype: np.dtype, *, levels: int = 4):
        self.d, self.dtype, self.levels = int(np.prod(block)), np.dtype(dtype), levels
        if not 1 <= levels <= 2**15:
            raise OptionError("levels", levels, "an integer from 1 to 32768")
        self.join(1)

    def join(self, workers):
        self._numbers = workers * self.d
        self.promise_unbiased((sqrt(1 + (self._numbers - 1) / self.levels**2) - 1) / 2)
        kinds = (np.int8, np.int16, np.int32)
        fitting = [kind for kind in kinds if np.iinfo(kind).max >= workers * self.levels]
        if not fitting:
            largest = np.iinfo(np.int32).max // workers
            raise OptionError("levels", self.levels, f"at most {largest} with {workers} workers")
        self._kind = np.dtype(fitting[0])
        self.nbytes = self.wire.itemsize + self.d * self._kind.itemsize
        self.published_bits = 8 * self.nbytes

    def expected_error(self, x):
        """That of workers who hold the rows of x, and no others."""
        scale = _rounded_up(np.abs(x).max(keepdims=True), self.wire).item()
        y = np.abs(x).astype(np.float64) * (self.levels / scale if scale > 0 else 0)
        part = y - np.floor(y)
        return (scale / self.levels) ** 2 * (part * (1 - part)).sum(axis=1)

    def prepare(self, local):
        self._scaled, self._draws = (np.empty((local, self.d), self.dtype) for _ in range(2))
        self._sent = np.empty((local, self.d), self._kind)

    def reduce(self, x, own, mean, generator, generators):
        n = len(x)
        scaled, draws = np.abs(x, out=self._scaled[:n]), self._draws[:n]
        largest = _rounded_up(scaled.max(axis=1, keepdims=True), self.wire)
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
