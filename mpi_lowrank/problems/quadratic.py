"""Quadratics of controlled heterogeneity, made from the seed."""

from functools import cache
from typing import Any

import numpy as np
import scipy  # scipy.linalg is loaded at its first use

from mpi_lowrank.component import option
from mpi_lowrank.datasets.local import LocalShards
from mpi_lowrank.errors import OptionError
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Block, Problem, Smoothness
from mpi_lowrank.problems.regularizer import Regularizer

NOISE = 1
"""A key beside the seed, so that no draws meet those of x."""


@problems.register("quadratic")
class Quadratics(Problem):
    """f_i(x) = x.A_i x / 2 - b_i.x, A_i = (nu_i / 4) T + shift I, T tridiagonal with (-1, 2, -1).

    nu_i = 1 + noise xi_i and b_i = (nu_i / 4) (-1 + noise zeta_i) e_1, xi and zeta standard normal
    of (seed, worker). The `shift` gives the mean of the A_i the least eigenvalue lambda: f is
    strongly convex; with noise an f_i need not be convex. x has `dimension` d numbers.

    The eigenvalues 2 - 2 cos(j pi / (d + 1)) of T make L, L_i and mu exact; mu is 0 unless every
    f_i is convex; f's own is lambda. The Hessians differ by L_pm = 4 cos^2(pi / (2 d + 2))
    std(nu_i) / 4: |grad f_i(x) - grad f_i(y) - grad f(x) + grad f(y)|^2 is at most L_pm^2 |x - y|^2
    in the mean over workers.

    f is least at A^-1 b, of the means A and b: f_inf = -(b_1)^2 (A^-1)_11 / 2, in which (A^-1)_11
    is 2 / (d + 1) sum_j sin(j pi / (d + 1))^2 / a_j, a_j A's eigenvalues; none where lambda is 0.

    x.T x is the sum of the squares of x_j - x_(j-1) for j = 1 to d + 1, x_0 = x_(d+1) = 0: a batch
    is of these terms, each d + 1 times, and the rest of f_i stays.

    Source: P. Richtarik et al., "3PC: Three Point Compressors for Communication-Efficient
    Distributed Training and a Better Theory for Lazy Aggregation", ICML 2022: there d = 1000,
    lambda = 1e-6, noise from 0 to 6.4, and x^0 is (sqrt(d), 0, ..., 0).
    """

    default_data = None
    has_hessians = True

    dimension: int = option(1000)
    noise: float = option(0.0)
    lambda_: float = option(1e-6)

    def __init__(self, shards: LocalShards, dtype: np.dtype, **options: Any):
        super().__init__(shards, dtype, **options)
        self.blocks, terms = (Block("x", (self.dimension,)),), self.dimension + 1
        scales, pulls = self._draw(shards.seed, shards.total)
        angle = np.pi / (2 * terms)
        ends = 4 * np.array([np.sin(angle), np.cos(angle)]) ** 2  # of T's spectrum
        shift = self.lambda_ - float((scales.mean() * ends).min())
        self._spectra = np.outer(scales, ends) + shift  # ends of each worker's
        self._spectrum = scales.mean() * ends + shift
        self._scale, self._pull = scales.mean(), pulls.mean()
        self.f_inf = self._least_value(self._scale, self._pull)
        self._shift = Regularizer("l2", shift, dtype)
        self._numbers, workers = shards.numbers, len(shards.numbers)
        self.samples = np.full(workers, terms)
        self._stiffness = scales[self._numbers, np.newaxis].astype(dtype)
        self._pulls = pulls[self._numbers].astype(dtype)
        self._stretches = np.empty((workers, terms), dtype)
        self._weights = cache(lambda: np.empty((workers, terms), dtype))

    def _draw(self, seed: int, workers: int) -> tuple[np.ndarray, np.ndarray]:
        """nu_i / 4 and the first number of b_i, of all workers."""
        drawn = np.random.default_rng([seed, NOISE]).standard_normal((workers, 2))
        scales = (1 + self.noise * drawn[:, 0]) / 4
        return scales, scales * (self.noise * drawn[:, 1] - 1)

    def _least_value(self, scale: float, pull: float) -> float | None:
        if not self.lambda_:
            return None
        angles = np.arange(1, self.dimension + 1) * np.pi / (self.dimension + 1)
        spectrum = 4 * scale * np.sin(angles / 2) ** 2
        spectrum += self.lambda_ - spectrum.min()
        inverse = np.sum(np.sin(angles) ** 2 / spectrum) * 2 / (self.dimension + 1)
        return float(-(pull**2) * inverse / 2)

    def near_minimum(self):
        bands = np.full((2, self.dimension), -self._scale)
        bands[1] = 2 * self._scale + self._shift.strength
        force = np.zeros(self.dimension)
        force[0] = self._pull
        return scipy.linalg.solveh_banded(bands, force) if self.lambda_ else force

    @classmethod
    def model(cls, dataset, options):
        if options.dimension < 1:
            raise OptionError("dimension", options.dimension, "an integer from 1")
        for name, value in (("noise", options.noise), ("lambda", options.lambda_)):
            if not 0 <= value < np.inf:
                raise OptionError(name, value, "a number from 0")
        return (Block("x", (options.dimension,)),)

    @classmethod
    def footprint(cls, blocks, workers, longest, itemsize, options):
        return workers * (blocks[0].shape[0] + 1) * itemsize

    def gradients(self, x, out, batch=None):
        forces = self._stretched(x)
        forces *= self._stiffness
        if batch is not None:
            forces *= self._terms(batch)
        np.subtract(forces[:, :-1], forces[:, 1:], out=out)
        self._shift.add_slope(x, out)
        out[:, 0] -= self._pulls

    def losses(self, x, out, batch=None):
        energies = np.square(self._stretched(x), dtype=np.float64) * (self._stiffness / 2)
        if batch is not None:
            energies *= self._terms(batch)
        np.sum(energies, axis=1, out=out)
        self._shift.add_value(x, out)
        out -= self._pulls * x[..., 0].astype(np.float64)

    def _stretched(self, x):
        """x_j - x_(j-1), (workers, d + 1)."""
        stretches = self._stretches
        stretches[:, :-1] = x
        stretches[:, -1] = 0
        stretches[:, 1:] -= x
        return stretches

    def _terms(self, batch):
        """How many times each term counts, (workers, d + 1)."""
        batch.check(self.samples)
        weights = self._weights()
        weights[...] = 0
        for mine, rows, shares in zip(weights, batch.rows, batch.weights, strict=True):
            np.add.at(mine, rows, shares)
        weights *= weights.shape[1]
        return weights

    def hessians(self, x, out):
        out[...] = 0
        np.einsum("wii->wi", out)[...] = 2 * self._stiffness
        for beside in (out[:, 1:, :-1], out[:, :-1, 1:]):
            np.einsum("wii->wi", beside)[...] = -self._stiffness
        self._shift.add_curvature(x, out)

    def smoothness(self, mean):
        L_i = np.abs(self._spectra[self._numbers]).max(axis=1)
        mu = max(0.0, float(self._spectra.min()))
        return Smoothness(float(self._spectrum.max()), L_i, mu, mu_f=self.lambda_)
