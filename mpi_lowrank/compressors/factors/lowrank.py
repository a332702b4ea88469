"""What compressors of matrices share; truncated and randomized SVD, Gaussian range finding."""

from abc import abstractmethod
from math import isqrt
from typing import Literal

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Promise
from mpi_lowrank.compressors.composed.carrier import Carrier, Groups
from mpi_lowrank.compressors.factors.fold import Fold
from mpi_lowrank.errors import OptionError
from mpi_lowrank.kernels import family

Shape = Literal["auto"] | tuple[int, int]
"""The matrix that a vector is seen as."""

COSTLY = 8
"""How many numbers of another family one in an SVD is worth, when kernels are chosen."""

SMALL = 64
"""Sides of matrices up to which kernels find the leading direction of all of them at once."""

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


class Matrices(Carrier):
    """A vector seen as an m x c matrix X, of which a message holds r directions of q = min(m, c).

    Zeros that padded the matrix are cut off again. Subclasses choose what is sent of X.
    """

    family = "two factors"
    per_block = True

    shape: Shape = option("auto")

    def see(self, r: int, name: str = "rank") -> None:
        """See the block as a matrix of which messages hold r directions, r the option `name`."""
        self.m, self.c = matrix_shape(self.block, self.shape)
        self.r, self.q = r, min(self.m, self.c)
        self.fold = Fold(self.d, (self.m, self.c), self.dtype)
        if not 1 <= r <= self.q:
            raise OptionError(name, r, f"an integer from 1 to min(m, c) = {self.q}")

    def prepare(self, local, total):
        super().prepare(local, total)
        self.fold.prepare(local, total)

    def worst_choice(self):
        """A flat spectrum: no matrix of rank r is nearer than 1 - r/q (theory of truncation)."""
        flat = np.eye(self.m, self.c).reshape(-1)
        return None if self.fold.padded else flat

    def expected_error(self, x):
        """`spectral_error`, as long as no zeros pad X and the numbers travel as they are."""
        if self.fold.padded or any(inner.omega != 0 for inner in self.inner):
            return None
        matrices = np.asarray(x, np.float64).reshape(-1, self.m, self.c)
        return self.spectral_error(np.linalg.svd(matrices, compute_uv=False))

    def spectral_error(self, values: np.ndarray) -> np.ndarray | None:
        """E|C(X) - X|^2 for singular values (workers, q), where they alone tell it."""
        return None


class FactorPair(Matrices):
    """A message holds the r columns of P (m x r) and the r rows of Q (r x c); it stands for P Q.

    Wire: r (m + c) numbers. The mean of n messages is one product with the factors side by side.
    Subclasses write P and Q in `choose`.
    """

    def factors(self, r: int, name: str = "rank") -> Groups:
        """`see` the matrix and its r directions; the factors' columns and rows."""
        self.see(r, name)
        return (self.m, r), (self.c, r)

    def _factors_in(self, numbers):
        """The columns of P (workers, r, m) and the rows of Q (workers, r, c), views."""
        n, columns = len(numbers), self.m * self.r
        left = numbers[:, :columns].reshape(n, self.r, self.m)
        return left, numbers[:, columns:].reshape(n, self.r, self.c)

    def restore(self, side, numbers, out):
        left, right = self._factors_in(numbers)
        np.matmul(left.transpose(0, 2, 1), right, out=self.fold.room(out))
        self.fold.cut(out)

    def restore_sum(self, side, numbers, weights, out):
        left, right = self._factors_in(numbers)
        right *= weights[:, np.newaxis, np.newaxis]
        self.fold.write(out, left.reshape(-1, self.m).T, right.reshape(-1, self.c))


class Factors(FactorPair):
    """A `FactorPair` of one rank: subclasses give P and Q."""

    @abstractmethod
    def factor(self, matrices: np.ndarray, generators) -> tuple[np.ndarray, np.ndarray]:
        """P (workers, m, r) and Q (workers, r, c) for the matrices (workers, m, c)."""

    def choose(self, x, side, numbers, generators):
        left, right = self._factors_in(numbers)
        p, q = self.factor(self.fold(x), generators)
        left[...], right[...] = p.transpose(0, 2, 1), q


@compressors.register("svd")
class TruncatedSVD(Factors):
    """The best approximation of rank r: P = U_r, Q = S_r V_r^T. alpha = r / min(m, c).

    Of rank 1, and of small matrices, compiled kernels find it for all workers at once: the same but
    for round-off and the sign of both vectors.
    """

    examples = (
        "rank=1",
        "rank=2,shape=7x16",
        "rank=1,shape=7x16+natural",
        "rank=2,shape=7x16+qsgd:levels=4",
        "rank=1,shape=7x16+natural_dithering:levels=4",
        "rank=1,shape=7x16+ternary",
    )

    summed_by_kernels = True

    rank: int = option(1)

    def chosen(self):
        return self.factors(self.rank), Promise(0, 0, alpha=self.rank / self.q)

    def prepare(self, local, total):
        super().prepare(local, total)
        # By the numbers of all workers: on any number of ranks the same kernels are chosen.
        small = self.rank == 1 and max(self.m, self.c) <= SMALL
        self._kernels = family("singular", COSTLY * total * self.d if small else 0)
        self._at_once = small and self._kernels.AT_ONCE
        if self._at_once:
            self._wide = np.empty((local, self.m, self.c))
            self._left, self._right = np.empty((local, self.m, 1)), np.empty((local, 1, self.c))

    def factor(self, matrices, generators):
        if self._at_once:
            n = len(matrices)
            wide, left, right = self._wide[:n], self._left[:n], self._right[:n]
            wide[...] = matrices
            self._kernels.leading(wide, left[:, :, 0], right[:, 0])
            return left, right
        u, s, vt = np.linalg.svd(matrices, full_matrices=False)
        r = self.rank
        return u[:, :, :r], s[:, :r, np.newaxis] * vt[:, :r]

    def spectral_error(self, values):
        return (values[:, self.rank :] ** 2).sum(axis=1)


class RandomRange(Factors):
    """Q Q^T X with Q = orth(X Omega), Omega c x l Gaussian: the range finder and what follows it.

    `power_iterations`: each one multiplies by X X^T, orthonormalised at each half step, without
    which singular values below the square root of the machine's precision are lost.
    """

    power_iterations: int = option(0)

    def project_on(self, r: int, columns: int, name: str = "rank") -> tuple[Groups, Promise]:
        """What `chosen` returns for r directions out of so many Gaussian columns."""
        groups = self.factors(r, name)
        if self.power_iterations < 0:
            raise OptionError("power_iterations", self.power_iterations, "an integer from 0")
        self.drawn = min(columns, self.q)
        return groups, Promise(0, 0, alpha=r / self.q, random=True)

    def prepare(self, local, total):
        super().prepare(local, total)
        m, c, columns = self.m, self.c, self.drawn
        self._test = np.empty((local, c, columns), self.dtype)
        self._range = np.empty((local, m, columns), self.dtype)
        self._rows = np.empty((local, columns, c), self.dtype)

    def project(self, matrices, generators):
        """Q (workers, m, l), its columns orthonormal, and Q^T X (workers, l, c)."""
        n = len(matrices)
        for test, generator in zip(self._test[:n], generators, strict=True):
            generator.standard_normal(out=test, dtype=self.dtype.type)
        basis = np.linalg.qr(np.matmul(matrices, self._test[:n], out=self._range[:n])).Q
        transposed = matrices.transpose(0, 2, 1)
        for _ in range(self.power_iterations):
            corange = np.linalg.qr(np.matmul(transposed, basis, out=self._test[:n])).Q
            basis = np.linalg.qr(np.matmul(matrices, corange, out=self._range[:n])).Q
        return basis, np.matmul(basis.transpose(0, 2, 1), matrices, out=self._rows[:n])


@compressors.register("rsvd")
class RandomizedSVD(RandomRange):
    """Randomized SVD, truncated to rank r (Halko, Martinsson, Tropp 2011, sections 4 and 5).

    `oversampling`: columns beyond r in the Gaussian test matrix; more => closer to the best rank r.
    `power_iterations`: see RandomRange.
    alpha = r / min(m, c) in expectation; the error never exceeds |X|.
    """

    examples = ("rank=1", "rank=2,power_iterations=1,shape=7x16", "rank=1,shape=7x16+natural")

    rank: int = option(1)
    oversampling: int = option(2)

    def chosen(self):
        if self.oversampling < 0:
            raise OptionError("oversampling", self.oversampling, "an integer from 0")
        return self.project_on(self.rank, self.rank + self.oversampling)

    def prepare(self, local, total):
        super().prepare(local, total)
        self._rotated = np.empty((local, self.m, self.rank), self.dtype)

    def factor(self, matrices, generators):
        basis, rows = self.project(matrices, generators)
        u, s, vt = np.linalg.svd(rows, full_matrices=False)
        left = np.matmul(basis, u[:, :, : self.rank], out=self._rotated[: len(matrices)])
        return left, s[:, : self.rank, np.newaxis] * vt[:, : self.rank]
