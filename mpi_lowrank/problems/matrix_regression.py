"""Least squares for a matrix, on data made from a seed."""

from functools import cache, cached_property
from typing import Any, Literal

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.datasets.local import LocalShards
from mpi_lowrank.errors import OptionError
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Block, Problem, Smoothness, largest_eigenvalue

DESIGN, TARGET = 1, 2
"""What is drawn: part of the key of a draw, so that the draws are independent."""
SHARED = 0
"""The key of draws that all workers share; worker i has the key 1 + i."""


@problems.register("matrix")
class MatrixRegression(Problem):
    """f_i(W) = |A_i W - B_i|^2 / (2 m_i), B_i = A_i W_i*, for a matrix W of `shape` (m, c).

    f_i depends on the data through H_i = A_i^T A_i / m_i alone: it is
    tr((W - W_i*)^T H_i (W - W_i*)) / 2, and its gradient H_i (W - W_i*) loses no digits near the
    solution. So H_i = V_i diag(s) V_i^T is made, and no A_i.

    `spectrum` of H_i: "geometric", from 1 down to 1 / `condition`, or "power", s_j = 1/j, which
    has no `condition`. `bases`: "common", one random V for all workers, or "rotated", a random V_i
    for each. The target W* has random singular vectors and `target_rank` singular values (all of
    them unless given), equal ("flat") or 1/j ("power"), scaled so that its entries have mean square
    1. A random start hides its spectrum, the start 0 does not. `heterogeneity`: W_i* is W* plus a
    random matrix of rank `heterogeneity_rank`, flat, whose norm is this share of W*'s.

    Draws of worker i follow from (seed, i): the same on any number of ranks. L_i = 1, mu is the
    least of the s_j, and L the largest eigenvalue of the mean of the H_i.

    Batches do need rows of A_i: they are those of A_i = sqrt(m) H_i^(1/2), made when the first
    batch comes. At W_i* the gradient of every batch is 0.
    """

    default_data = None
    f_inf = 0.0
    has_hessians = True

    shape: tuple[int, int] = option((256, 256))
    spectrum: Literal["geometric", "power"] = option("geometric")
    condition: float = option(100.0)
    bases: Literal["common", "rotated"] = option("common")
    target_rank: int | None = option(None)
    target_spectrum: Literal["flat", "power"] = option("flat")
    heterogeneity: float = option(0.0)
    heterogeneity_rank: int = option(4)

    def __init__(self, shards: LocalShards, dtype: np.dtype, **options: Any):
        super().__init__(shards, dtype, **options)
        shape = self.shape
        self.blocks = (Block("W", shape),)
        self._seed, self._numbers = shards.seed, shards.numbers
        eigenvalues = np.geomspace(1, 1 / self.condition, shape[0])
        if self.spectrum == "power":
            eigenvalues = 1 / np.arange(1, shape[0] + 1)
        self._eigenvalues, self._dtype = eigenvalues, dtype
        self._designs = self._make_designs(eigenvalues)
        self.samples = np.full(len(self._numbers), shape[0])
        singular_values = np.ones(self.target_rank or min(shape))
        if self.target_spectrum == "power":
            singular_values /= np.arange(1, len(singular_values) + 1)
        self._targets = self._make_targets(singular_values, dtype)
        if self.heterogeneity:
            self._move_targets(self.heterogeneity, self.heterogeneity_rank)
        self._errors = np.empty_like(self._targets)
        workers, m, c = self._errors.shape
        self._room = cache(
            lambda width: [
                np.empty((workers, *shape), dtype) for shape in ((m, width), (width, c), (width, 1))
            ]
        )

    def _make_designs(self, eigenvalues):
        shape = len(self._numbers), len(eigenvalues), len(eigenvalues)
        if self.bases == "common":
            common = _with_spectrum(eigenvalues, self._rng(DESIGN, SHARED))
            return np.broadcast_to(common.astype(self._dtype), shape)
        designs = np.empty(shape, self._dtype)
        for design, worker in zip(designs, self._numbers, strict=True):
            design[...] = _with_spectrum(eigenvalues, self._rng(DESIGN, 1 + worker))
        return designs

    def _make_targets(self, singular_values, dtype):
        shape = self.blocks[0].shape
        target = _random_matrix(shape, singular_values, self._rng(TARGET, SHARED))
        return np.repeat(target[np.newaxis].astype(dtype), len(self._numbers), axis=0)

    def _move_targets(self, share, rank):
        shape = self.blocks[0].shape
        for target, worker in zip(self._targets, self._numbers, strict=True):
            target += share * _random_matrix(shape, np.ones(rank), self._rng(TARGET, 1 + worker))

    def _rng(self, what, worker):
        return np.random.default_rng([self._seed, what, worker])

    @classmethod
    def model(cls, dataset, options):
        shape, condition, heterogeneity = options.shape, options.condition, options.heterogeneity
        if min(shape) < 1:
            raise OptionError("shape", list(shape), "[m, c], both from 1")
        if not 1 <= condition < np.inf:
            raise OptionError("condition", condition, "a number from 1")
        ranks = f"an integer from 1 to {min(shape)}, the smaller side of the matrix"
        if options.target_rank is not None and not 1 <= options.target_rank <= min(shape):
            raise OptionError("target_rank", options.target_rank, ranks)
        if not 0 <= heterogeneity < np.inf:
            raise OptionError("heterogeneity", heterogeneity, "a number from 0")
        if not 1 <= options.heterogeneity_rank <= min(shape) and heterogeneity:
            raise OptionError("heterogeneity_rank", options.heterogeneity_rank, ranks)
        return (Block("W", shape),)

    @classmethod
    def footprint(cls, blocks, workers, longest, itemsize, options):
        ((m, columns),) = (block.shape for block in blocks)
        designs = 1 if options.bases == "common" else workers
        in_the_making, then = 2 * 8 * m * m, 2 * workers * m * columns * itemsize
        return designs * m * m * itemsize + max(in_the_making, then)

    @cached_property
    def _rows(self):
        """A_i of every worker, (workers, m, m) and symmetric."""
        return self._make_designs(np.sqrt(len(self._eigenvalues) * self._eigenvalues))

    def gradients(self, x, out, batch=None):
        errors = self._errors_at(x)
        slopes = out.reshape(errors.shape)
        if batch is None:
            np.matmul(self._designs, errors, out=slopes)
        else:
            columns, residuals, weights = self._residuals(errors, batch)
            residuals *= weights
            np.matmul(columns, residuals, out=slopes)

    def losses(self, x, out, batch=None):
        errors = self._errors_at(x)
        if batch is None:
            slopes = np.matmul(self._designs, errors)
        else:
            _, errors, weights = self._residuals(errors, batch)
            slopes = errors * weights
        for worker, (error, slope) in enumerate(zip(errors, slopes, strict=True)):
            out[worker] = np.sum(error * slope, dtype=np.float64) / 2

    def hessians(self, x, out):
        workers, (m, columns) = len(out), self.blocks[0].shape
        blocks = out.reshape(workers, m, columns, m, columns)
        out[...] = 0
        for column in range(columns):
            blocks[:, :, column, :, column] = self._designs

    def _errors_at(self, x):
        points = x.reshape(*x.shape[:-1], *self.blocks[0].shape)
        return np.subtract(points, self._targets, out=self._errors)

    def _residuals(self, errors, batch):
        """The batch's rows of A_i as columns, their residuals A_i W - B_i, and their weights."""
        batch.check(self.samples)
        columns, residuals, weights = self._room(batch.width)
        batch.take(self._rows, columns)
        np.matmul(columns.swapaxes(1, 2), errors, out=residuals)
        weights[..., 0] = batch.weights
        return columns, residuals, weights

    def smoothness(self, mean):
        ones, mu = np.ones(len(self._designs)), float(self._eigenvalues[-1])
        if self.bases == "common":
            return Smoothness(1.0, ones, mu)
        designs = self._designs.astype(np.float64, copy=False)  # once, not at every product
        L = largest_eigenvalue(lambda v: mean(designs @ v), len(designs[0]))
        return Smoothness(L, ones, mu)


def _with_spectrum(eigenvalues: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A symmetric matrix with these eigenvalues and a random basis, uniform (Haar)."""
    m = len(eigenvalues)
    root = _orthonormal(m, m, rng) * np.sqrt(eigenvalues)
    return root @ root.T


def _random_matrix(shape, singular_values, rng):
    """A matrix of mean square 1, its singular values in these proportions, their vectors random."""
    left, right = (_orthonormal(side, len(singular_values), rng) for side in shape)
    scaled = singular_values * np.sqrt(np.prod(shape)) / np.linalg.norm(singular_values)
    return left * scaled @ right.T


def _orthonormal(rows, columns, rng):
    return np.linalg.qr(rng.standard_normal((rows, columns)))[0]
