"""Compressors that send a matrix as two factors: truncated and randomized SVD."""

from abc import abstractmethod
from math import isqrt
from typing import Literal

import numpy as np

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Carrier, Wire
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


class Factors(Carrier):
    """A message holds the r columns of P (m x r) and the r rows of Q (r x c); it stands for P Q.

    Zeros that padded the matrix are cut off again. Wire: r (m + c) numbers. The mean of n messages
    is one product with the factors side by side. Subclasses choose P and Q.
    """

    per_block = True

    def __init__(self, block: tuple[int, ...], rank: int, shape: Shape):
        self.m, self.c = matrix_shape(block, shape)
        self.d, self.rank, self.q = int(np.prod(block)), rank, min(self.m, self.c)
        self.padded = self.m * self.c > self.d
        if not 1 <= rank <= self.q:
            raise OptionError("rank", rank, f"an integer from 1 to min(m, c) = {self.q}")
        self.groups = ((self.m, rank), (self.c, rank))

    def prepare(self, local, total):
        super().prepare(local, total)
        m, c = self.m, self.c
        if self.padded:
            self._padded = np.zeros((local, m, c), self.dtype)
            self._decoded = np.empty((total, m, c), self.dtype)
        self._mean = np.empty((m, c), self.dtype)

    @abstractmethod
    def factor(self, matrices: np.ndarray, generators) -> tuple[np.ndarray, np.ndarray]:
        """P (workers, m, r) and Q (workers, r, c) for the matrices (workers, m, c)."""

    def worst_choice(self):
        """A flat spectrum: no matrix of rank r is nearer than 1 - r/q (theory of truncation)."""
        flat = np.eye(self.m, self.c).reshape(-1)
        return None if self.padded else flat

    def choose(self, x, side, numbers, generators):
        left, right = self._factors_in(numbers)
        p, q = self.factor(self._matrices(x), generators)
        left[...], right[...] = p.transpose(0, 2, 1), q

    def _factors_in(self, numbers):
        """The columns of P (workers, r, m) and the rows of Q (workers, r, c), views."""
        n, columns = len(numbers), self.m * self.rank
        left = numbers[:, :columns].reshape(n, self.rank, self.m)
        return left, numbers[:, columns:].reshape(n, self.rank, self.c)

    def _matrices(self, x):
        if not self.padded:
            return x.reshape(-1, self.m, self.c)
        self._padded[: len(x)].reshape(len(x), -1)[:, : self.d] = x
        return self._padded[: len(x)]

    def restore(self, side, numbers, out):
        left, right = self._factors_in(numbers)
        n, transposed = len(out), left.transpose(0, 2, 1)
        if not self.padded:
            np.matmul(transposed, right, out=out.reshape(n, self.m, self.c))
            return
        decoded = np.matmul(transposed, right, out=self._decoded[:n])
        out[...] = decoded.reshape(n, -1)[:, : self.d]

    def restore_sum(self, side, numbers, weights, out):
        left, right = self._factors_in(numbers)
        right *= weights[:, np.newaxis, np.newaxis]
        np.matmul(left.reshape(-1, self.m).T, right.reshape(-1, self.c), out=self._mean)
        out[:] = self._mean.reshape(-1)[: self.d]


@compressors.register("svd")
class TruncatedSVD(Factors):
    """The best approximation of rank r: P = U_r, Q = S_r V_r^T. alpha = r / min(m, c)."""

    def __init__(
        self,
        block: tuple[int, ...],
        dtype: np.dtype,
        *,
        rank: int = 1,
        shape: Shape = "auto",
        wire: Wire = "float32",
    ):
        super().__init__(block, rank, shape)
        self.alpha = rank / self.q
        self.travel_as_numbers(dtype, wire)

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
        super().__init__(block, rank, shape)
        for option, value in (
            ("oversampling", oversampling),
            ("power_iterations", power_iterations),
        ):
            if value < 0:
                raise OptionError(option, value, "an integer from 0")
        self.columns = min(rank + oversampling, self.m, self.c)
        self.power_iterations = power_iterations
        self.alpha = rank / self.q
        self.travel_as_numbers(dtype, wire)

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
