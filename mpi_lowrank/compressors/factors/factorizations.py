"""Factorisations of a worker's matrix: range finder, pivoted QR, sampled spectra."""

from typing import Literal

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Promise
from mpi_lowrank.compressors.factors.lowrank import Factors, Matrices, RandomRange
from mpi_lowrank.compressors.sampling import systematic, threshold
from mpi_lowrank.compressors.wire.bits import BitFields, bits_for
from mpi_lowrank.compressors.wire.messages import MessageError


@compressors.register("rangefinder")
class RangeFinder(RandomRange):
    """Q Q^T X with all l = `columns` columns of the range finder, nothing truncated.

    alpha = l / min(m, c) in expectation, attained at flat spectra: E Q Q^T, seen in the left
    singular basis, is a diagonal of trace l that does not fall where singular values do not, so
    that it keeps l / min(m, c) of |X|^2 or more (Chebyshev's sum inequality). The error never
    exceeds |X|. Halko, Martinsson, Tropp 2011, section 4. Wire: l (m + c) numbers.
    """

    examples = ("columns=2", "columns=2,power_iterations=1", "columns=3,shape=7x16+natural")

    columns: int = option(1)

    def chosen(self):
        return self.project_on(self.columns, self.columns, "columns")

    def factor(self, matrices, generators):
        return self.project(matrices, generators)


class PivotedColumns:
    """Greedy pivoted Gram-Schmidt on the shorter side of m x c matrices: rows if m < c.

    r times, the one of largest residual among the q = min(m, c) columns (or rows) is made
    orthogonal once more to those before, normalised, and taken out of all. One that is round-off
    counts as 0. After k steps the largest residual holds at least 1/(q - k) of what is left, so r
    steps leave at most the product of the 1 - 1/(q - k), which is (q - r)/q.
    """

    def __init__(self, m: int, c: int, rank: int, dtype: np.dtype):
        self.by_rows, self.rank, self.dtype = m < c, rank, dtype
        self.q, self.length = min(m, c), max(m, c)
        self._least = self.length * float(np.finfo(dtype).eps)

    def prepare(self, rows: int) -> None:
        """Allocate for up to `rows` matrices per call."""
        q, length = self.q, self.length
        self._residual = np.empty((rows, q, length), self.dtype)
        self._projection = np.empty((rows, q, length), self.dtype)
        self._basis = np.empty((rows, self.rank, length), self.dtype)
        self._pivots = np.empty((rows, self.rank), np.intp)
        self._taken = np.empty((rows, q), bool)

    def vectors(self, matrices: np.ndarray) -> np.ndarray:
        """The q columns, or rows, (workers, q, length), a view."""
        return matrices if self.by_rows else matrices.transpose(0, 2, 1)

    def scaled(self, matrices: np.ndarray) -> np.ndarray:
        """The vectors over the largest number of their matrix, in scratch of the next call."""
        largest = np.maximum(matrices.max(axis=(1, 2)), -matrices.min(axis=(1, 2)))
        largest[largest == 0] = 1
        residual = self._residual[: len(matrices)]
        return np.divide(self.vectors(matrices), largest[:, np.newaxis, np.newaxis], out=residual)

    def __call__(self, matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The r directions (workers, r, length), zero beyond the rank, and which ones they are of,
        (workers, r), all different."""
        n = len(matrices)
        residual, basis, pivots = self.scaled(matrices), self._basis[:n], self._pivots[:n]
        taken, each = self._taken[:n], np.arange(n)
        taken[...] = False
        for k in range(self.rank):
            squares = np.einsum("wij,wij->wi", residual, residual)
            squares[taken] = -1
            pivots[:, k] = squares.argmax(axis=1)
            found = residual[each, pivots[:, k]]
            again = np.matmul(basis[:, :k], found[:, :, np.newaxis])
            found -= np.matmul(again.transpose(0, 2, 1), basis[:, :k])[:, 0]
            lengths = np.sqrt(np.einsum("wj,wj->w", found, found))
            if k == 0:
                least = self._least * lengths
            absent = lengths <= least
            found /= np.where(absent, 1, lengths)[:, np.newaxis]
            found[absent] = 0
            basis[:, k] = found
            taken[each, pivots[:, k]] = True
            along = np.matmul(residual, found[:, :, np.newaxis])
            residual -= np.matmul(along, found[:, np.newaxis], out=self._projection[:n])
            residual[each, pivots[:, k]] = 0
        return basis, pivots


@compressors.register("pivoted_qr")
class PivotedQR(Factors):
    """The projection on r columns (rows, if m < c) that column-pivoted QR chooses: Q_r Q_r^T X.

    alpha = r / min(m, c), attained at flat spectra (see PivotedColumns); by the longer side it
    would be r / max(m, c), which one heavy column orthogonal to c - 1 light ones attains.
    Wire: r (m + c) numbers, zeros beyond the rank. Businger, Golub 1965.
    """

    examples = ("rank=2", "rank=3,shape=16x7+natural")

    rank: int = option(1)

    def chosen(self):
        groups = self.factors(self.rank)
        self._columns = PivotedColumns(self.m, self.c, self.rank, self.dtype)
        return groups, Promise(0, 0, alpha=self.rank / self.q)

    def prepare(self, local, total):
        super().prepare(local, total)
        self._columns.prepare(local)

    def factor(self, matrices, generators):
        basis, _ = self._columns(matrices)
        transposed = basis.transpose(0, 2, 1)
        if self._columns.by_rows:
            return np.matmul(matrices, transposed), basis
        return transposed, np.matmul(basis, matrices)


@compressors.register("interpolative")
class Interpolative(Matrices):
    """r columns of X itself (rows, if m < c) and what the others are of them: X_J [I, T].

    J are the pivots of `pivoted_qr`, T = X_J^+ X_rest, so that X_J T is the same projection with
    the same error: alpha = r / min(m, c), attained at flat spectra. Columns beyond the rank have
    coefficients of zero. Chosen columns may be nearly parallel, so that independent errors of
    the factors would not multiply: nothing lossy is composed with it.

    Wire, with q = min(m, c) and l = max(m, c): r indices of ceil(log2 q) bits, increasing, in
    ceil(r ceil(log2 q) / 8) bytes; r l + r (q - r) numbers. Cheng, Gimbutas, Martinsson, Rokhlin
    2005.
    """

    orthonormal = False
    examples = ("rank=2", "rank=3,shape=16x7", "rank=2+identity:wire=float64")

    rank: int = option(1)

    def chosen(self):
        self.see(self.rank)
        self._columns = PivotedColumns(self.m, self.c, self.rank, self.dtype)
        self._indices = BitFields(self.rank, bits_for(self.q))
        coefficients = ((self.q - self.rank, self.rank),) if self.rank < self.q else ()
        groups = ((self._columns.length, self.rank), *coefficients)
        return groups, Promise(self._indices.nbytes, 0, alpha=self.rank / self.q)

    def prepare(self, local, total):
        super().prepare(local, total)
        self._columns.prepare(local)
        self._indices.prepare(total)
        self._sent = np.empty((total, self.rank), self._indices.dtype)
        self._others = np.empty((total, self.q), bool)
        self._all = np.empty((total, self.q, self.rank), self.dtype)

    def choose(self, x, side, numbers, generators):
        matrices, sent = self.fold(x), self._sent[: len(x)]
        basis, pivots = self._columns(matrices)
        vectors = self._columns.vectors(matrices)
        order = np.argsort(pivots, axis=1)
        chosen = np.take_along_axis(pivots, order, axis=1)
        sent[...] = chosen
        self._indices.pack(sent, side)
        columns, coefficients = self._parts_in(numbers)
        columns[...] = vectors[np.arange(len(x))[:, np.newaxis], chosen]
        scaled = self._columns.scaled(matrices)  # T is the same, and no denormal number in it
        solved = self._solve(basis, scaled, pivots, self._rest(chosen))
        coefficients[...] = np.take_along_axis(solved, order[:, :, np.newaxis], axis=1)

    def _solve(self, basis, vectors, pivots, rest):
        """T, its rows in the order of the pivots; one without a direction of its own has zeros."""
        within = np.matmul(basis, vectors.transpose(0, 2, 1))
        system = np.triu(np.take_along_axis(within, pivots[:, np.newaxis], axis=2))
        np.einsum("wkk->wk", system)[~basis.any(axis=2)] = 1
        return np.linalg.solve(system, np.take_along_axis(within, rest[:, np.newaxis], axis=2))

    def _parts_in(self, numbers):
        """The columns X_J (workers, r, l) and T (workers, r, q - r), views."""
        n, held = len(numbers), self.rank * self._columns.length
        columns = numbers[:, :held].reshape(n, self.rank, -1)
        return columns, numbers[:, held:].reshape(n, self.rank, self.q - self.rank)

    def _rest(self, chosen):
        """The columns that are not chosen, (workers, q - r), increasing."""
        others = self._others[: len(chosen)]
        others[...] = True
        np.put_along_axis(others, chosen, False, axis=1)
        return np.nonzero(others)[1].reshape(len(chosen), self.q - self.rank)

    def restore(self, side, numbers, out):
        columns, coefficients = self._parts_in(numbers)
        chosen, each = self._chosen_in(side), np.arange(len(out))[:, np.newaxis]
        combined = self._all[: len(out)]  # the transpose of [I, T], its columns in X's order
        combined[...] = 0
        combined[each, chosen, np.arange(self.rank)] = 1
        combined[each, self._rest(chosen)] = coefficients.transpose(0, 2, 1)
        factors = combined, columns
        if not self._columns.by_rows:
            factors = columns.transpose(0, 2, 1), combined.transpose(0, 2, 1)
        np.matmul(*factors, out=self.fold.room(out))
        self.fold.cut(out)

    def _chosen_in(self, side):
        n = len(side)
        self._indices.unpack(side, self._sent[:n])
        chosen = self._sent[:n].astype(np.intp)
        if n and (chosen[:, -1].max() >= self.q or not (np.diff(chosen, axis=1) > 0).all()):
            raise MessageError(
                f"{self.name}: indices are below q = {self.q} and increase; these do not"
            )
        return chosen


@compressors.register("spectral")
class SpectralSampling(Factors):
    """s = `budget` singular triples drawn with probabilities p_i, each divided by its own.

    p_i = min(1, sigma_i / tau), sum p_i = s, which minimise E|C|^2 = sum sigma_i^2 / p_i (ATOMO,
    Wang et al. 2018); drawn systematically, so that exactly s are. With q = min(m, c):
    `scale = "unbiased"` has omega = q/s - 1, that of p_i = s/q, attained at flat spectra;
    "contractive" is s/q of that: alpha = s/q. Wire: s (m + c) numbers, zeros beyond the rank.
    """

    examples = (
        "budget=2",
        "budget=4,shape=7x16+natural",
        "budget=2,scale=contractive",
        "budget=2,scale=contractive,shape=7x16+natural",
    )
    # 1 / zeta of an unbiased C is no projection, but composes like one: for every contractive C_1,
    # E|C_2 C_1 / zeta_2 - x|^2 <= (E|C_1 - x|^2 - |x|^2) / zeta_2 + |x|^2.

    budget: int = option(1)
    scale: Literal["unbiased", "contractive"] = option("unbiased")

    def chosen(self):
        groups = self.factors(self.budget, "budget")
        self.weight = self.budget / self.q if self.scale == "contractive" else 1.0
        if self.scale == "contractive":
            return groups, Promise(0, 0, alpha=self.weight, random=True)
        return groups, Promise(0, 0, omega=self.q / self.budget - 1, random=True)

    def spectral_error(self, values):
        scaled = self.weight * np.maximum(values, threshold(values, self.budget)[0])
        # E|C|^2 - 2 E<C, X> + |X|^2, with <C, X> = scale |X|^2 on average.
        return (values * (self.weight * scaled + (1 - 2 * self.weight) * values)).sum(axis=1)

    def factor(self, matrices, generators):
        u, s, vt = np.linalg.svd(matrices, full_matrices=False)
        values = s.astype(np.float64)
        tau, certain = threshold(values, self.budget)
        points = np.array([generator.random() for generator in generators])
        drawn = systematic(values, certain, self.budget, points)
        found = np.take_along_axis(values, drawn, axis=1)
        scaled = np.where(found > 0, self.weight * np.maximum(found, tau), 0).astype(self.dtype)
        left = np.take_along_axis(u, drawn[:, np.newaxis], axis=2) * (scaled > 0)[:, np.newaxis]
        right = np.take_along_axis(vt, drawn[:, :, np.newaxis], axis=1)
        return left, scaled[:, :, np.newaxis] * right
