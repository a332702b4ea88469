"""Compressors that send a matrix as two factors: truncated and randomized SVD."""

from abc import abstractmethod
from math import isqrt
from typing import Literal

import numpy as np

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, Wire, fields
from mpi_lowrank.errors import OptionError

Shape = Literal["auto"] | tuple[int, int]
"""The matrix that a vector is seen as."""

LONGEST_EXACT = 4
"""An exact factorisation of d up to this many times as long as wide is used without padding."""


def matrix_shape(block: tuple[int, ...], shape: Shape) -> tuple[int, int]:
    """The (rows, columns) in which a block is compressed; zeros pad what is left over.

    A matrix keeps its own shape. For a vector "auto" is the most square exact factorisation, or,
    where that is long and thin (d = 113 is prime), the padded floor(sqrt d) x ceil(d / floor).
    """
    if len(block) == 2:
        return block
    d = int(np.prod(block))
    if shape != "auto":
        if min(shape) < 1 or shape[0] * shape[1] < d:
            raise OptionError("shape", list(shape), f'"auto" or [m, c] with m c >= d = {d}')
        return shape
    rows = next(m for m in range(isqrt(d), 0, -1) if d % m == 0)
    if d // rows > LONGEST_EXACT * rows:
        rows = isqrt(d)
    return rows, -(-d // rows)


class Factors(Compressor):
    """A message holds P (m x r) and Q (r x c); it stands for P Q, with the padding cut off.

    Wire: r (m + c) numbers. The mean of n messages is one product with the factors side by side.
    Subclasses choose P and Q.
    """

    per_block = True

    def __init__(
        self,
        block: tuple[int, ...],
        dtype: np.dtype,
        *,
        rank: int = 1,
        shape: Shape = "auto",
        wire: Wire = "float32",
    ):
        self.m, self.c = matrix_shape(block, shape)
        self.d, self.rank, self.dtype = int(np.prod(block)), rank, np.dtype(dtype)
        self.padded = self.m * self.c > self.d
        q = min(self.m, self.c)
        if not 1 <= rank <= q:
            raise OptionError("rank", rank, f"an integer from 1 to min(m, c) = {q}")
        self._layout = np.dtype([("left", wire, (self.m, rank)), ("right", wire, (rank, self.c))])
        self.nbytes = self._layout.itemsize
        self.published_floats = rank * (self.m + self.c)
        self.alpha = rank / q

    def prepare(self, local, total):
        m, c, r = self.m, self.c, self.rank
        if self.padded:
            self._padded = np.zeros((local, m, c), self.dtype)
            self._decoded = np.empty((local, m, c), self.dtype)
        self._left = np.empty((local, m, r), self.dtype)
        self._right = np.empty((local, r, c), self.dtype)
        self._side_by_side = np.empty((m, total, r), self.dtype)
        self._stacked = np.empty((total, r, c), self.dtype)
        self._mean = np.empty((m, c), self.dtype)

    @abstractmethod
    def factor(self, matrices: np.ndarray, generators) -> tuple[np.ndarray, np.ndarray]:
        """P (workers, m, r) and Q (workers, r, c) for the matrices (workers, m, c)."""

    def encode(self, x, messages, generators):
        message = fields(messages, self._layout)
        message["left"][...], message["right"][...] = self.factor(self._matrices(x), generators)

    def _matrices(self, x):
        if not self.padded:
            return x.reshape(-1, self.m, self.c)
        self._padded[: len(x)].reshape(len(x), -1)[:, : self.d] = x
        return self._padded[: len(x)]

    def decode(self, messages, out):
        message, n = fields(messages, self._layout), len(messages)
        self._left[:n], self._right[:n] = message["left"], message["right"]
        if not self.padded:
            np.matmul(self._left[:n], self._right[:n], out=out.reshape(n, self.m, self.c))
            return
        decoded = np.matmul(self._left[:n], self._right[:n], out=self._decoded[:n])
        out[...] = decoded.reshape(n, -1)[:, : self.d]

    def decode_sum(self, messages, weights, out):
        message, n = fields(messages, self._layout), len(messages)
        side_by_side, stacked = self._side_by_side[:, :n], self._stacked[:n]
        side_by_side[...] = message["left"].transpose(1, 0, 2)
        np.multiply(message["right"], weights[:, np.newaxis, np.newaxis], out=stacked)
        left = side_by_side.reshape(self.m, -1)
        np.matmul(left, stacked.reshape(-1, self.c), out=self._mean)
        out[:] = self._mean.reshape(-1)[: self.d]


@compressors.register("svd")
class TruncatedSVD(Factors):
    """The best approximation of rank r: P = U_r, Q = S_r V_r^T. alpha = r / min(m, c)."""

    def factor(self, matrices, generators):
        u, s, vt = np.linalg.svd(matrices, full_matrices=False)
        r = self.rank
        return u[:, :, :r], s[:, :r, np.newaxis] * vt[:, :r]


@compressors.register("rsvd")
class RandomizedSVD(Factors):
    """Randomized SVD, truncated to rank r (Halko, Martinsson, Tropp 2011, sections 4 and 5).

    `oversampling`: columns beyond r in the Gaussian test matrix; more => closer to the best rank r.
    `power_iterations`: each one multiplies by X X^T, orthonormalised at each half step, without
    which singular values below the square root of the machine's precision are lost.
    alpha = r / min(m, c) in expectation; the error never exceeds |X|.
    """

    random = True

    def __init__(
        self,
        block: tuple[int, ...],
        dtype: np.dtype,
        *,
        rank: int = 1,
        oversampling: int = 2,
        power_iterations: int = 0,
        shape: Shape = "auto",
        wire: Wire = "float32",
    ):
        super().__init__(block, dtype, rank=rank, shape=shape, wire=wire)
        for option, value in (
            ("oversampling", oversampling),
            ("power_iterations", power_iterations),
        ):
            if value < 0:
                raise OptionError(option, value, "an integer from 0")
        self.columns = min(rank + oversampling, self.m, self.c)
        self.power_iterations = power_iterations

    def prepare(self, local, total):
        super().prepare(local, total)
        m, c, columns = self.m, self.c, self.columns
        self._test = np.empty((local, c, columns), self.dtype)
        self._range = np.empty((local, m, columns), self.dtype)
        self._rows = np.empty((local, columns, c), self.dtype)
        self._rotated = np.empty((local, m, self.rank), self.dtype)

    def factor(self, matrices, generators):
        n = len(matrices)
        for test, generator in zip(self._test[:n], generators, strict=True):
            generator.standard_normal(out=test, dtype=self.dtype.type)
        basis = np.linalg.qr(np.matmul(matrices, self._test[:n], out=self._range[:n])).Q
        transposed = matrices.transpose(0, 2, 1)
        for _ in range(self.power_iterations):
            corange = np.linalg.qr(np.matmul(transposed, basis, out=self._test[:n])).Q
            basis = np.linalg.qr(np.matmul(matrices, corange, out=self._range[:n])).Q
        rows = np.matmul(basis.transpose(0, 2, 1), matrices, out=self._rows[:n])
        u, s, vt = np.linalg.svd(rows, full_matrices=False)
        left = np.matmul(basis, u[:, :, : self.rank], out=self._rotated[:n])
        return left, s[:, : self.rank, np.newaxis] * vt[:, : self.rank]
