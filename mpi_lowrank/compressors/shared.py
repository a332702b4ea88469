"""Low-rank compressors whose coefficients are Allreduced: PowerSGD, alternating factors, sketches.

All see a block as m x c matrices X_i, one a worker, and return the projection of each one and of
their mean on a common basis: what the mean becomes depends on the mean of the X_i alone.
"""

from typing import Literal

import numpy as np
from scipy.linalg import qr

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import SharedCompressor, Wire
from mpi_lowrank.compressors.lowrank import Shape, matrix_shape
from mpi_lowrank.errors import OptionError


class SharedFactors(SharedCompressor):
    """The buffers and the reshaping that the compressors of this file have in common."""

    per_block = True
    common = True

    def __init__(self, block, dtype, rank, shape, wire):
        self.m, self.c = matrix_shape(block, shape)
        self.d, self.rank = int(np.prod(block)), rank
        self.dtype, self.wire = np.dtype(dtype), np.dtype(wire)
        self.q = min(self.m, self.c)
        if not 1 <= rank <= self.q:
            raise OptionError("rank", rank, f"an integer from 1 to min(m, c) = {self.q}")

    def prepare(self, local):
        m, c, r = self.m, self.c, self.rank
        if m * c > self.d:
            self._padded = np.zeros((local, m, c), self.dtype)
            self._mean = np.empty((m, c), self.dtype)
        self._left, self._right = (np.empty((local, k, r), self.dtype) for k in (m, c))
        self._sent_left, self._sent_right = (np.empty((local, k, r), self.wire) for k in (m, c))

    def _seen(self, x):
        """x as matrices; a copy only where zeros pad it."""
        if self.m * self.c == self.d:
            return x.reshape(-1, self.m, self.c)
        self._padded.reshape(len(x), -1)[:, : self.d] = x
        return self._padded

    def _times(self, matrices, right):
        """The wire's X_i R, (workers, m r)."""
        self._sent_left[...] = np.matmul(matrices, right, out=self._left)
        return self._sent_left.reshape(len(matrices), -1)

    def _transposed_times(self, matrices, left):
        """The wire's X_i^T P, (workers, c r)."""
        self._sent_right[...] = np.matmul(matrices.transpose(0, 2, 1), left, out=self._right)
        return self._sent_right.reshape(len(matrices), -1)

    def _write(self, left, right, mean_left, mean_right, own, mean):
        """own_i = left_i right_i^T of the wire's numbers, mean = mean_left mean_right^T."""
        whole = self.m * self.c == self.d
        np.matmul(
            mean_left, mean_right.T, out=mean.reshape(self.m, self.c) if whole else self._mean
        )
        if not whole:
            mean[...] = self._mean.reshape(-1)[: self.d]
        if own is not None:
            own[...] = np.matmul(left, right).reshape(len(own), -1)[:, : self.d]


def orthonormal(columns: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the columns, the heaviest first; what adds nothing becomes zero.

    Pivoting puts the columns without a direction of their own last: anywhere else the unit vector
    that QR invents for them would be taken out of the columns behind it.
    """
    q, r, _ = qr(columns, mode="economic", pivoting=True, check_finite=False)
    diagonal = np.abs(np.diagonal(r))
    q[:, diagonal <= 4 * np.finfo(columns.dtype).eps * diagonal[0]] = 0
    return q


@compressors.register("powersgd")
class PowerSGD(SharedFactors):
    """P = orth(mean X_i Q), Q = mean X_i^T P: two Allreduces (Vogels et al. 2019).

    own_i = P P^T X_i and their mean is P P^T mean X_i: only the mean contracts.
    `basis`: what Q starts a round from. "fresh": all columns Gaussian; alpha = r / min(m, c).
    "warm": the last Q, its last `fresh_columns` columns Gaussian; alpha is fresh_columns over
    min(m, c), and none without a fresh column: a stale basis orthogonal to X stays so for ever.
    "svd": the last Q, but every `refresh` rounds the mean of X_i itself is Allreduced and Q becomes
    its leading right singular vectors.
    """

    contraction = "mean"

    def __init__(
        self,
        block: tuple[int, ...],
        dtype: np.dtype,
        *,
        rank: int = 1,
        basis: Literal["warm", "fresh", "svd"] = "warm",
        fresh_columns: int = 1,
        refresh: int = 20,
        shape: Shape = "auto",
        wire: Wire = "float32",
    ):
        super().__init__(block, dtype, rank, shape, wire)
        _check_fresh(fresh_columns, rank)
        if refresh < 1:
            raise OptionError("refresh", refresh, "an integer from 1")
        self.basis, self.refresh = basis, refresh
        self.fresh = {"warm": fresh_columns, "fresh": rank, "svd": 0}[basis]
        self.alpha = self.fresh / self.q if self.fresh else None
        self.nbytes = self.wire.itemsize * rank * (self.m + self.c)
        self.published_bits = 8 * self.nbytes

    def prepare(self, local):
        super().prepare(local)
        self._basis: np.ndarray | None = None
        self._rounds = 0
        if self.basis == "svd":
            self._whole = np.empty((local, self.m * self.c), self.wire)

    def reduce(self, x, own, mean, generator, generators):
        matrices = self._seen(x)
        if self.basis == "svd" and self._rounds % self.refresh == 0:
            self._whole[...] = matrices.reshape(len(x), -1)
            whole = yield self._whole
            rows = np.linalg.svd(whole.reshape(self.m, self.c), full_matrices=False)[2]
            self._basis = rows[: self.rank].T.copy()
        self._rounds += 1
        basis = self._start(generator)
        left = orthonormal((yield self._times(matrices, basis)).reshape(self.m, self.rank))
        right = (yield self._transposed_times(matrices, left)).reshape(self.c, self.rank)
        if self.fresh < self.rank:
            self._basis = orthonormal(right)
        sent = self._sent_right.astype(self.dtype).transpose(0, 2, 1) if own is not None else None
        self._write(left, sent, left, right, own, mean)

    def _start(self, generator):
        if self._basis is None:
            self._basis = _gaussian(generator, self.c, self.rank, self.dtype)
        elif self.fresh:
            drawn = _gaussian(generator, self.c, self.fresh, self.dtype)
            self._basis[:, self.rank - self.fresh :] = drawn
        return self._basis


def _check_fresh(fresh_columns, rank):
    if not 0 <= fresh_columns <= rank:
        raise OptionError("fresh_columns", fresh_columns, f"an integer from 0 to rank = {rank}")


def _gaussian(generator, length, columns, dtype):
    """Gaussian columns of expected squared length 1."""
    drawn = generator.standard_normal((length, columns), dtype=dtype.type)
    return drawn / dtype.type(np.sqrt(length))


@compressors.register("alternating")
class Alternating(SharedFactors):
    """One factor and one Allreduce a round: X_i Q on even rounds, X_i^T P on odd ones.

    The basis of a round is the other factor of the round before, orthonormalised, its last
    `fresh_columns` columns replaced by Gaussian ones. alpha = fresh_columns / max(m, c) for every
    worker, and none without a fresh column. Wire: r m and r c numbers in turn.
    """

    def __init__(
        self,
        block: tuple[int, ...],
        dtype: np.dtype,
        *,
        rank: int = 2,
        fresh_columns: int = 1,
        shape: Shape = "auto",
        wire: Wire = "float32",
    ):
        super().__init__(block, dtype, rank, shape, wire)
        _check_fresh(fresh_columns, rank)
        self.fresh = fresh_columns
        self.alpha = fresh_columns / max(self.m, self.c) if fresh_columns else None
        self.nbytes = self.wire.itemsize * rank * (self.m + self.c) // 2
        self.published_bits = 8 * self.nbytes

    def prepare(self, local):
        super().prepare(local)
        self._factor: np.ndarray | None = None
        self._even = True

    def reduce(self, x, own, mean, generator, generators):
        matrices, even = self._seen(x), self._even
        basis = self._start(generator, self.c if even else self.m)
        if even:
            factor = (yield self._times(matrices, basis)).reshape(self.m, self.rank)
            sent = self._sent_left.astype(self.dtype) if own is not None else None
            self._write(sent, basis.T, factor, basis, own, mean)
        else:
            factor = (yield self._transposed_times(matrices, basis)).reshape(self.c, self.rank)
            sent = self._sent_right.astype(self.dtype) if own is not None else None
            right = sent.transpose(0, 2, 1) if own is not None else None
            self._write(basis, right, basis, factor, own, mean)
        self._factor, self._even = orthonormal(factor), not even

    def _start(self, generator, length):
        drawn = _gaussian(generator, length, self.rank, self.dtype)
        if self._factor is not None:
            warm = self.rank - self.fresh
            drawn[:, :warm] = self._factor[:, :warm]
        return orthonormal(drawn)


@compressors.register("sketch")
class Sketch(SharedFactors):
    """X_i S S^T with a random c x r matrix S, the same for all workers, new every round.

    `kind`: "haar", S orthonormal, "gaussian", N(0, 1/r), or "rademacher", +-1/sqrt(r).
    `scale = "unbiased"` has mean X_i, E|C|^2 <= zeta |X_i|^2 with zeta = c/r (haar, equality),
    1 + (c + 1)/r or 1 + (c - 1)/r; "contractive" divides that by zeta: alpha = 1/zeta.
    Wire: r m numbers; S costs nothing.
    """

    def __init__(
        self,
        block: tuple[int, ...],
        dtype: np.dtype,
        *,
        rank: int = 1,
        kind: Literal["haar", "gaussian", "rademacher"] = "haar",
        scale: Literal["contractive", "unbiased"] = "contractive",
        shape: Shape = "auto",
        wire: Wire = "float32",
    ):
        super().__init__(block, dtype, rank, shape, wire)
        c, self.kind = self.c, kind
        zeta = {"haar": c / rank, "gaussian": 1 + (c + 1) / rank, "rademacher": 1 + (c - 1) / rank}
        self.zeta = zeta[kind]
        if scale == "unbiased":
            self._scale = 1.0
            self.promise_unbiased(self.zeta - 1)
        else:
            self.alpha, self._scale = 1 / self.zeta, 1 / self.zeta
        self.nbytes = self.wire.itemsize * rank * self.m
        self.published_bits = 8 * self.nbytes

    def reduce(self, x, own, mean, generator, generators):
        matrices, sketch = self._seen(x), self._draw(generator)
        factor = (yield self._times(matrices, sketch)).reshape(self.m, self.rank)
        sketch = sketch * self.dtype.type(self._scale)
        sent = self._sent_left.astype(self.dtype) if own is not None else None
        self._write(sent, sketch.T, factor, sketch, own, mean)

    def _draw(self, generator):
        """S such that S S^T has mean I."""
        c, r = self.c, self.rank
        if self.kind == "rademacher":
            return generator.choice(self.dtype.type([-1, 1]), (c, r)) / self.dtype.type(np.sqrt(r))
        drawn = generator.standard_normal((c, r), dtype=self.dtype.type)
        if self.kind == "gaussian":
            return drawn / self.dtype.type(np.sqrt(r))
        return np.linalg.qr(drawn).Q * self.dtype.type(np.sqrt(c / r))
