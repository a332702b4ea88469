"""What is added to the mean of the samples' losses."""

from functools import cache
from typing import Literal

import numpy as np

Kind = Literal["nonconvex", "l2"]


class Regularizer:
    """`nonconvex`: strength sum x_j^2 / (1 + x_j^2); `l2`: (strength / 2) |x|^2.

    x is one point (d,) or a point for each worker (workers, d). `curvature` is the largest second
    derivative; those of the nonconvex one are in [-strength / 2, 2 strength]. `mu` is the strong
    convexity: 0 for the nonconvex one.
    """

    def __init__(self, kind: Kind, strength: float, dtype: np.dtype):
        self.strength, self._convex = strength, kind == "l2"
        self.curvature = strength if self._convex else 2 * strength
        self.mu = strength if self._convex else 0.0
        self._slope, self._square = (cache(lambda shape: np.empty(shape, dtype)) for _ in range(2))

    def add_slope(self, x: np.ndarray, out: np.ndarray) -> None:
        """Add its gradient at x to the rows of `out`, (workers, d)."""
        slope = np.multiply(x, self.strength, out=self._slope(x.shape))
        if not self._convex:
            square = np.multiply(x, x, out=self._square(x.shape))
            square += 1
            np.multiply(square, square, out=square)
            slope *= 2
            slope /= square
        out += slope

    def add_curvature(self, x: np.ndarray, out: np.ndarray) -> None:
        """Add its second derivatives at x to the diagonals of `out`, (workers, d, d)."""
        if self._convex:
            curvature = np.full_like(x, self.strength)
        else:
            square = np.square(x)
            curvature = 2 * self.strength * (1 - 3 * square) / (1 + square) ** 3
        np.einsum("wii->wi", out)[...] += curvature

    def add_value(self, x: np.ndarray, out: np.ndarray) -> None:
        """Add its value at x to `out`, (workers,) float64."""
        square = np.square(x, dtype=np.float64)
        if self._convex:
            out += self.strength / 2 * square.sum(axis=-1)
        else:
            out += self.strength * (square / (1 + square)).sum(axis=-1)
