"""A vector seen as a tensor of more than two modes: Tucker and tensor-train truncations."""

from abc import abstractmethod
from math import prod

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Promise
from mpi_lowrank.compressors.composed.carrier import Carrier
from mpi_lowrank.compressors.factors.fold import Fold
from mpi_lowrank.errors import OptionError

_LIGHTER = 1 - 1e-5
"""The weight of the directions that a worst case makes a truncation drop."""


class Tensors(Carrier):
    """A vector seen as a tensor X of n_1 x ... x n_K, truncated in `steps` of one SVD each.

    A step (rows, columns, r) unfolds what is left as a matrix A of rows x columns, keeps its r
    leading left singular vectors U as a factor and goes on with U^T A. The message holds the
    factors and what is left at the end. In each step r = min(rank, rows, columns).

    What is left is V^T X and C(x) is V V^T X, with V the product of the factors expanded to all of
    X: its columns are orthonormal. Hence x - C(x) is orthogonal to C(x), and |C(x)| is the length
    of what is left. A step keeps the r largest of min(rows, columns) squared singular values,
    r / min(rows, columns) of their sum or more: alpha is the product of that over the steps.
    Zeros that padded X are cut off again, which only lowers the error.
    """

    family = "several factors"
    rotates: bool
    """Whether a step moves the mode that it has compressed behind all others."""

    shape: tuple[int, ...] = option()
    rank: int = option(1)

    def chosen(self):
        shape = self.shape
        if len(shape) < 2 or min(shape) < 1 or prod(shape) < self.d:
            allowed = f"two sizes or more whose product is at least d = {self.d}"
            raise OptionError("shape", list(shape), allowed)
        if self.rank < 1:
            raise OptionError("rank", self.rank, "an integer from 1")
        self.steps = self.plan()
        self.fold = Fold(self.d, self.steps[0][:2], self.dtype)
        groups = (*((rows, r) for rows, _, r in self.steps), self.remainder())
        return groups, Promise(0, 0, alpha=prod(r / min(rows, c) for rows, c, r in self.steps))

    @abstractmethod
    def plan(self) -> list[tuple[int, int, int]]:
        """The steps: (rows, columns, r)."""

    @abstractmethod
    def remainder(self) -> tuple[int, int]:
        """(length, count) of the vectors in which what is left travels."""

    def prepare(self, local, total):
        super().prepare(local, total)
        self._left = [self._empty_left(local, step) for step in self.steps]
        self._grown = [np.empty((total, *step[:2]), self.dtype) for step in self.steps[1:]]
        self.fold.prepare(local, total)
        _, columns, r = self.steps[0]
        self._stacked = np.empty((total, r, columns), self.dtype)

    def _empty_left(self, local, step):
        _, columns, r = step
        return np.empty((local, columns, r) if self.rotates else (local, r, columns), self.dtype)

    def _by_rank(self, left, step):
        """What a step has left as (workers, r, columns), a view."""
        _, columns, r = step
        if self.rotates:
            return left.reshape(-1, columns, r).transpose(0, 2, 1)
        return left.reshape(-1, r, columns)

    def _views(self, numbers):
        """The groups of vectors in the numbers, (workers, count, length) each."""
        first = 0
        for length, count in self.groups:
            yield numbers[:, first : first + length * count].reshape(-1, count, length)
            first += length * count

    def choose(self, x, side, numbers, generators):
        n, (*factors, last) = len(x), self._views(numbers)
        left = self.fold(x)
        for step, factor, buffer in zip(self.steps, factors, self._left, strict=True):
            rows, columns, r = step
            u, s, vt = np.linalg.svd(left.reshape(n, rows, columns), full_matrices=False)
            factor[...] = u[:, :, :r].transpose(0, 2, 1)
            left = buffer[:n]
            np.multiply(s[:, :r, np.newaxis], vt[:, :r], out=self._by_rank(left, step))
        last[...] = left.reshape(last.shape)

    def _expanded(self, numbers):
        """The first factor (workers, rows, r) and what it multiplies (workers, r, columns)."""
        n, (*factors, left) = len(numbers), self._views(numbers)
        for k in reversed(range(1, len(self.steps))):
            inner = self._by_rank(left, self.steps[k])
            left = np.matmul(factors[k].transpose(0, 2, 1), inner, out=self._grown[k - 1][:n])
        return factors[0].transpose(0, 2, 1), self._by_rank(left, self.steps[0])

    def restore(self, side, numbers, out):
        first, inner = self._expanded(numbers)
        np.matmul(first, inner, out=self.fold.room(out))
        self.fold.cut(out)

    def restore_sum(self, side, numbers, weights, out):
        first, inner = self._expanded(numbers)
        stacked = self._stacked[: len(numbers)]
        np.multiply(inner, weights[:, np.newaxis, np.newaxis], out=stacked)
        rows, columns = self.fold.shape
        side_by_side = first.transpose(1, 0, 2).reshape(rows, -1)
        self.fold.write(out, side_by_side, stacked.reshape(-1, columns))


def _flat_at_every_step(
    sizes: tuple[int, ...], steps: list[tuple[int, int, int]]
) -> np.ndarray | None:
    """A tensor of which no step of a train keeps more than its share; None if this finds none.

    Made from the last lossy step to the first one. What a step shall keep are r orthogonal rows of
    equal length; slightly lighter ones make them min(rows, columns), a nearly flat spectrum. They
    are the pieces, an equal number each, of as many rows as the step before shall keep.
    """
    last = max(
        (k for k, (rows, columns, r) in enumerate(steps) if r < min(rows, columns)), default=0
    )
    rng = np.random.default_rng(0)
    kept = np.eye(steps[last][2], steps[last][1])
    for k in range(last, -1, -1):
        rows, columns, r = steps[k]
        before = steps[k - 1][2] if k else 1
        q = min(rows, columns)
        if q % before:
            return None
        lightest = np.linalg.norm(kept, axis=1).min()
        drawn = np.hstack([kept.T, rng.standard_normal((columns, q - r))])
        lighter = np.linalg.qr(drawn).Q[:, r:].T * (lightest * _LIGHTER)
        pieces = np.zeros((before, sizes[k], columns))
        pieces[:, : q // before] = np.vstack([kept, lighter]).reshape(before, -1, columns)
        kept = pieces.reshape(before, -1)
    return kept.reshape(-1)


@compressors.register("tucker")
class Tucker(Tensors):
    """The sequentially truncated higher-order SVD: a factor a mode, and a core.

    Vannieuwenhoven, Vandebril, Meerbergen 2012; Tucker 1966. Step k unfolds mode k of a tensor of
    r_1 x ... x r_(k-1) x n_k x ... x n_K. alpha = product of r_k / min(n_k, size of the rest),
    attained at rank 1, and where one step alone loses something (a flat spectrum in that mode).
    The squared error is at most the sum over the modes of what truncating the unfolding of X itself
    to r_k would leave.
    Wire: the sum of n_k r_k and the product of r_k numbers.
    """

    rotates = True
    examples = (
        "shape=7x2x2x2x2",
        "shape=7x4x4,rank=2",
        "shape=5x5x5,rank=3",
        "shape=7x2x2x2x2+natural",
        "shape=7x4x4,rank=2+natural_dithering:levels=4",
    )

    def plan(self):
        steps, size = [], prod(self.shape)
        for rows in self.shape:
            columns = size // rows
            steps.append((rows, columns, min(self.rank, rows, columns)))
            size = columns * steps[-1][2]
        return steps

    def remainder(self):
        return prod(r for _, _, r in self.steps), 1

    def worst_choice(self):
        if self.fold.padded:
            return None
        lossy = [k for k, (rows, columns, r) in enumerate(self.steps) if r < min(rows, columns)]
        ranks = [r for _, _, r in self.steps]
        if len(lossy) < 2:
            return self._flat_in_mode(*lossy or [0])
        return _flat_at_every_step(self.shape, self.steps) if max(ranks) == 1 else None

    def _flat_in_mode(self, k):
        size = self.shape[k]
        others = self.shape[:k] + self.shape[k + 1 :]
        flat = np.eye(size, prod(others)).reshape(size, *others)
        return np.moveaxis(flat, 0, k).reshape(-1)


@compressors.register("tensor_train")
class TensorTrain(Tensors):
    """TT-SVD (Oseledets 2011): K cores of r_(k-1) x n_k x r_k, r_0 = r_K = 1.

    All but the last are left-orthonormal: r_k orthonormal columns of length r_(k-1) n_k. Step k,
    k < K, unfolds what is left as (r_(k-1) n_k) x (n_(k+1) ... n_K).
    alpha = product of r_k / min(r_(k-1) n_k, n_(k+1) ... n_K), attained wherever each of these
    minima, up to the last lossy step, is a multiple of r_(k-1), as at rank 1.
    Wire: the sum of r_(k-1) n_k r_k numbers.
    """

    rotates = False
    examples = (
        "shape=7x2x2x2x2",
        "shape=7x2x2x2x2,rank=2",
        "shape=5x5x5,rank=3",
        "shape=7x2x2x2x2+natural",
        "shape=7x4x4,rank=2+natural_dithering:levels=4",
    )

    def plan(self):
        steps, columns, before = [], prod(self.shape), 1
        for size in self.shape[:-1]:
            rows, columns = before * size, columns // size
            before = min(self.rank, rows, columns)
            steps.append((rows, columns, before))
        return steps

    def remainder(self):
        return self.shape[-1], self.steps[-1][2]

    def worst_choice(self):
        return None if self.fold.padded else _flat_at_every_step(self.shape, self.steps)
