"""Low-rank compressors whose coefficients are Allreduced: PowerSGD, alternating factors, sketches.

All see a block as an m x c matrix X_i per worker, and project each X_i and their mean on a common
basis: what the mean becomes depends only on the mean of the X_i.
"""

from typing import Any, Literal

import numpy as np
from scipy.linalg import qr

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Promise, SharedCompressor, equal_error
from mpi_lowrank.compressors.difference import Difference
from mpi_lowrank.compressors.factors.fold import Fold
from mpi_lowrank.compressors.factors.lowrank import Shape, matrix_shape
from mpi_lowrank.compressors.wire.numbers import Wired
from mpi_lowrank.errors import OptionError
from mpi_lowrank.kernels import family


class SharedMatrices(Wired, SharedCompressor):
    """What these compressors share: x is padded to a matrix, and the padding cut off again.

    What a worker's matrix becomes, and the mean of that, are products of two factors.
    """

    family = "factors, Allreduced"
    per_block = True
    summed_by_kernels = True

    shape: Shape = option("auto")

    def see(self) -> None:
        """See the block as a matrix."""
        self.m, self.c = matrix_shape(self.block, self.shape)
        self.q = min(self.m, self.c)
        self.fold = Fold(self.d, (self.m, self.c), self.dtype)

    def reducing(self, numbers: float, **constants: Any) -> Promise:
        """The promise of so many numbers per round, on average."""
        nbytes = int(self.number.itemsize * numbers)
        return Promise(nbytes, 8 * nbytes, common=True, precision=self.number, **constants)

    def prepare(self, local, total):
        self.fold.prepare(local, local)

    def _write(self, left, right, mean_left, mean_right, own, mean):
        """own_i = left_i right_i of the wire's numbers, mean = mean_left mean_right^T."""
        if own is not None:
            np.matmul(left, right, out=self.fold.room(own))
            self.fold.cut(own)
        self.fold.write(mean, mean_left, mean_right.T)


class SharedFactors(SharedMatrices):
    """r columns are reduced: those of X_i R, or of X_i^T P."""

    rank: int = option(1)

    def see(self):
        super().see()
        self.fused = not self.fold.padded
        if not 1 <= self.rank <= self.q:
            raise OptionError("rank", self.rank, f"an integer from 1 to min(m, c) = {self.q}")

    def prepare(self, local, total):
        super().prepare(local, total)
        m, c, r = self.m, self.c, self.rank
        self._left, self._right = (np.empty((local, k, r), self.dtype) for k in (m, c))
        self._sent_left, self._sent_right = (np.empty((local, k, r), self.number) for k in (m, c))
        self._kernels = family("lowrank", m * c)

    def _matrices(self, x):
        """The rows of x, or of a Difference, as matrices."""
        return x.seen_as(self.fold.shape) if isinstance(x, Difference) else self.fold(x)

    def _times(self, matrices, right):
        """The wire's X_i R, (workers, m r)."""
        if isinstance(matrices, Difference):
            for a, out in zip(matrices.minuend, self._left, strict=True):
                self._kernels.times(a, matrices.subtrahend, right, out)
        else:
            np.matmul(matrices, right, out=self._left)
        self._sent_left[...] = self._left
        return self._sent_left.reshape(len(matrices), -1)

    def _transposed_times(self, matrices, left):
        """The wire's X_i^T P, (workers, c r)."""
        if isinstance(matrices, Difference):
            for a, out in zip(matrices.minuend, self._right, strict=True):
                self._kernels.transposed_times(a, matrices.subtrahend, left, out)
        else:
            np.matmul(matrices.transpose(0, 2, 1), left, out=self._right)
        self._sent_right[...] = self._right
        return self._sent_right.reshape(len(matrices), -1)

    def _add(self, left, right, mean):
        """Add left right^T to `mean`, (d,)."""
        self._kernels.add_product(left, right, mean.reshape(self.fold.shape))


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
    `basis`: what Q starts a round from. "fresh": all columns Gaussian; alpha = r / min(m, c),
    attained at flat spectra. "warm": the last Q, its last `fresh_columns` columns Gaussian; alpha
    is fresh_columns over min(m, c), attained at flat spectra orthogonal to the past, and none
    without a fresh column: a stale basis orthogonal to X stays so for ever.
    "svd": the last Q, but every `refresh` rounds the mean of X_i itself is Allreduced and Q becomes
    its leading right singular vectors.
    """

    examples = ("rank=1", "rank=2,basis=fresh", "rank=3,fresh_columns=2,shape=7x16")

    basis: Literal["warm", "fresh", "svd"] = option("warm")
    fresh_columns: int = option(1)
    refresh: int = option(20)

    def promised(self):
        self.see()
        _check_fresh(self.fresh_columns, self.rank)
        if self.refresh < 1:
            raise OptionError("refresh", self.refresh, "an integer from 1")
        self.fresh = {"warm": self.fresh_columns, "fresh": self.rank, "svd": 0}[self.basis]
        alpha = self.fresh / self.q if self.fresh else None
        return self.reducing(self.rank * (self.m + self.c), alpha=alpha, contraction="mean")

    def remember(self, state):
        if self.fresh < self.rank:
            self._rounds = state.counter("rounds")
            self._basis = state.array("basis", (self.rank, self.c), self.dtype).T

    def prepare(self, local, total):
        super().prepare(local, total)
        if self.basis == "svd":
            self._whole = np.empty((local, self.m * self.c), self.number)

    def worst_case(self):
        """A flat spectrum, of which any P keeps r of q; warm bases need a past as well."""
        sure = self.fresh == self.rank and not self.fold.padded
        return np.eye(self.m, self.c).reshape(-1) if sure else None

    def reduce(self, x, own, mean, generator, generators):
        matrices = self._matrices(x)
        basis = yield from self._start(matrices, generator)
        left = orthonormal((yield self._times(matrices, basis)).reshape(self.m, self.rank))
        right = (yield self._transposed_times(matrices, left)).reshape(self.c, self.rank)
        if self.fresh < self.rank:
            self._basis[...] = orthonormal(right)
            self._rounds += 1
        if isinstance(x, Difference):
            return self._add(left, right, mean)
        sent = self._sent_right.astype(self.dtype).transpose(0, 2, 1) if own is not None else None
        self._write(left, sent, left, right, own, mean)

    def _start(self, matrices, generator):
        if self.basis == "svd" and self._rounds % self.refresh == 0:
            self._whole[...] = np.asarray(matrices).reshape(len(matrices), -1)
            whole = yield self._whole
            rows = np.linalg.svd(whole.reshape(self.m, self.c), full_matrices=False)[2]
            return rows[: self.rank].T.copy()
        if self.fresh == self.rank or self._rounds == 0:
            return _gaussian(generator, self.c, self.rank, self.dtype)
        if self.fresh:
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
    """One factor and one Allreduce per round: X_i Q in even rounds, X_i^T P in odd ones.

    The basis of a round is the other factor of the round before, orthonormalised, its last
    `fresh_columns` columns replaced by Gaussian ones. alpha = fresh_columns / max(m, c) for every
    worker, and none without a fresh column. Wire: r m and r c numbers in turn.
    """

    rank: int = option(2)
    fresh_columns: int = option(1)

    def promised(self):
        self.see()
        _check_fresh(self.fresh_columns, self.rank)
        self.fresh = self.fresh_columns
        alpha = self.fresh / max(self.m, self.c) if self.fresh else None
        return self.reducing(self.rank * (self.m + self.c) / 2, alpha=alpha)

    def remember(self, state):
        self._rounds = state.counter("rounds")
        kept = max(self.m, self.c), self.rank - self.fresh
        self._factor = state.array("factor", kept, self.dtype)

    def reduce(self, x, own, mean, generator, generators):
        matrices, even = self._matrices(x), self._rounds % 2 == 0
        basis = self._start(generator, self.c if even else self.m)
        if even:
            factor = (yield self._times(matrices, basis)).reshape(self.m, self.rank)
        else:
            factor = (yield self._transposed_times(matrices, basis)).reshape(self.c, self.rank)
        if isinstance(x, Difference):
            self._add(*((factor, basis) if even else (basis, factor)), mean)
        elif even:
            sent = self._sent_left.astype(self.dtype) if own is not None else None
            self._write(sent, basis.T, factor, basis, own, mean)
        else:
            sent = self._sent_right.astype(self.dtype) if own is not None else None
            right = sent.transpose(0, 2, 1) if sent is not None else None
            self._write(basis, right, basis, factor, own, mean)
        kept = orthonormal(factor)[:, : self.rank - self.fresh]
        self._factor[: len(kept)] = kept
        self._rounds += 1

    def _start(self, generator, length):
        drawn = _gaussian(generator, length, self.rank, self.dtype)
        if self._rounds:
            drawn[:, : self.rank - self.fresh] = self._factor[:length]
        return orthonormal(drawn)


@compressors.register("sketch")
class Sketch(SharedFactors):
    """X_i S S^T with a random c x r matrix S, the same for all workers, new every round.

    `kind`: "haar", S orthonormal, "gaussian", N(0, 1/r), or "rademacher", +-1/sqrt(r).
    `scale = "unbiased"` has mean X_i and E|C|^2 = zeta |X_i|^2 for every X_i, as E (S S^T)^2 is
    zeta I: zeta = c/r (haar), 1 + (c + 1)/r or 1 + (c - 1)/r; off the diagonal signs cancel.
    "contractive" divides that by zeta: E|C - X_i|^2 = (1 - 1/zeta) |X_i|^2, alpha = 1/zeta.
    Where zeros pad X_i the errors in their place are cut off, and these are bounds.
    Wire: r m numbers; S costs nothing.
    """

    examples = (
        "rank=1",
        "rank=2,scale=unbiased",
        "rank=2,kind=gaussian,scale=unbiased",
        "rank=2,kind=rademacher,scale=unbiased",
    )

    kind: Literal["haar", "gaussian", "rademacher"] = option("haar")
    scale: Literal["contractive", "unbiased"] = option("contractive")

    def promised(self):
        self.see()
        c, rank = self.c, self.rank
        zeta = {"haar": c / rank, "gaussian": 1 + (c + 1) / rank, "rademacher": 1 + (c - 1) / rank}
        self.zeta = zeta[self.kind]
        self._factor = 1.0 if self.scale == "unbiased" else 1 / self.zeta
        if self.scale == "unbiased":
            return self.reducing(rank * self.m, omega=self.zeta - 1)
        return self.reducing(rank * self.m, alpha=self._factor)

    def expected_error(self, x):
        return None if self.fold.padded else equal_error(self, x)

    def worst_case(self):
        """Any x, as long as it lies in rows that no zeros pad: each row is compressed by itself."""
        x, whole = np.arange(1.0, self.d + 1), self.d // self.c * self.c
        x[whole:] = 0
        return x if whole else None

    def reduce(self, x, own, mean, generator, generators):
        matrices, sketch = self._matrices(x), self._draw(generator)
        factor = (yield self._times(matrices, sketch)).reshape(self.m, self.rank)
        sketch = sketch * self.dtype.type(self._factor)
        if isinstance(x, Difference):
            return self._add(factor, sketch, mean)
        sent = self._sent_left.astype(self.dtype) if own is not None else None
        self._write(sent, sketch.T, factor, sketch, own, mean)

    def _draw(self, generator):
        """S such that S S^T has mean I."""
        c, r = self.c, self.rank
        if self.kind == "rademacher":
            return generator.choice(self.dtype.type([-1, 1]), (c, r)) / self.dtype.type(np.sqrt(r))
        if self.kind == "haar":
            return _haar(generator, c, r, self.dtype) * self.dtype.type(np.sqrt(c / r))
        drawn = generator.standard_normal((c, r), dtype=self.dtype.type)
        return drawn / self.dtype.type(np.sqrt(r))


@compressors.register("twosided")
class TwoSided(SharedMatrices):
    """A A^T X_i B B^T, A (m x `rows`) and B (c x `columns`) Haar-orthonormal, new every round.

    All workers draw the same A and B; what is reduced is A^T X_i B. With a rows and b columns
    E|A^T X B|^2 = (a/m) (b/c) |X|^2 for every X, because E A A^T = (a/m) I and E B B^T = (b/c) I.
    `scale = "contractive"`, an orthogonal projection: alpha = a b / (m c), equality for every X.
    `scale = "unbiased"`, that times m c / (a b): omega = m c / (a b) - 1, equality for every X.
    Where zeros pad X the errors in their place are cut off, and these are bounds.
    Wire: a b numbers; A and B cost nothing.
    """

    examples = ("rows=3,columns=5", "rows=8,columns=5", "rows=4,columns=7,scale=unbiased")

    rows: int = option(1)
    columns: int = option(1)
    scale: Literal["contractive", "unbiased"] = option("contractive")

    def promised(self):
        self.see()
        if not 1 <= self.rows <= self.m:
            raise OptionError("rows", self.rows, f"an integer from 1 to m = {self.m}")
        if not 1 <= self.columns <= self.c:
            raise OptionError("columns", self.columns, f"an integer from 1 to c = {self.c}")
        kept = self.rows * self.columns / (self.m * self.c)
        self._factor = 1 / kept if self.scale == "unbiased" else 1.0
        if self.scale == "unbiased":
            return self.reducing(self.rows * self.columns, omega=1 / kept - 1)
        return self.reducing(self.rows * self.columns, alpha=kept)

    def prepare(self, local, total):
        super().prepare(local, total)
        self._half = np.empty((local, self.m, self.columns), self.dtype)
        self._sketch = np.empty((local, self.rows, self.columns), self.dtype)
        self._sent = np.empty((local, self.rows * self.columns), self.number)

    def expected_error(self, x):
        return None if self.fold.padded else equal_error(self, x)

    def worst_case(self):
        """Any x, as long as no zeros pad it."""
        return None if self.fold.padded else np.arange(1.0, self.d + 1)

    def reduce(self, x, own, mean, generator, generators):
        left = _haar(generator, self.m, self.rows, self.dtype)
        right = _haar(generator, self.c, self.columns, self.dtype)
        half = np.matmul(self.fold(x), right, out=self._half)
        sketch = np.matmul(left.T, half, out=self._sketch)
        self._sent[...] = sketch.reshape(len(x), -1)
        core = (yield self._sent).reshape(self.rows, self.columns)
        left *= self.dtype.type(self._factor)
        if own is not None:
            sketch[...] = self._sent.reshape(sketch.shape)
            half = np.matmul(left, sketch, out=self._half)
        self._write(half, right.T, left @ core, right, own, mean)


def _haar(generator, length, columns, dtype):
    """Orthonormal columns that span a uniformly distributed subspace."""
    return np.linalg.qr(generator.standard_normal((length, columns), dtype=dtype.type)).Q
