"""The main experiment in dense float64 NumPy: written from the papers, with nothing of the package.

Only the carried numbers are read from its folder.
"""

from pathlib import Path

import numpy as np

import mpi_lowrank

FILE = Path(mpi_lowrank.__file__).parent / "datasets" / "mushrooms.npz"


class Logistic:
    """f_i = mean_j log(1 + exp(-y_j a_j x)) + regulariser; the remainder of rows is the last's."""

    def __init__(self, workers, held_out=0.0, seed=0, regularizer="nonconvex", strength=0.1):
        with np.load(FILE) as carried:
            columns, labels = carried["columns"], carried["labels"].astype(float)
        rows = np.zeros((len(labels), 112))
        rows[np.arange(len(labels))[:, np.newaxis], columns] = 1
        chosen = np.random.default_rng(seed).permutation(len(rows))[: round(held_out * len(rows))]
        kept = np.setdiff1d(np.arange(len(rows)), chosen)
        self.train, self.test = (rows[kept], labels[kept]), (rows[chosen], labels[chosen])
        size = len(kept) // workers
        ends = [*range(size, size * workers, size), len(kept)]
        starts = [0, *ends[:-1]]
        self.shards = [
            (rows[kept[a:b]], labels[kept[a:b]]) for a, b in zip(starts, ends, strict=True)
        ]
        self.convex, self.strength = regularizer == "l2", strength

    def gradients(self, x):
        """grad f_i(x), (workers, 112)."""
        slopes = [-((y / (1 + np.exp(y * (a @ x)))) @ a) / len(y) for a, y in self.shards]
        slope = x if self.convex else 2 * x / (1 + x**2) ** 2
        return np.array(slopes) + self.strength * slope

    def loss(self, x):
        """f(x), the mean of the f_i, not of the rows."""
        losses = [np.log1p(np.exp(-y * (a @ x))).mean() for a, y in self.shards]
        value = x @ x / 2 if self.convex else (x**2 / (1 + x**2)).sum()
        return np.mean(losses) + self.strength * value

    def grad_norm_sq(self, x):
        return (self.gradients(x).mean(axis=0) ** 2).sum()

    @staticmethod
    def accuracy(rows, x):
        a, y = rows
        return np.mean(np.where(a @ x > 0, 1, -1) == y) if len(y) else np.nan

    def smoothness(self):
        """L of f, and the L_i."""
        hessians = np.array([a.T @ a / (4 * len(y)) for a, y in self.shards])
        curvature = self.strength * (1 if self.convex else 2)
        local = np.linalg.eigvalsh(hessians)[:, -1]
        return np.linalg.eigvalsh(hessians.mean(axis=0))[-1] + curvature, local + curvature


def top_k(rows, k):
    """The k largest of each row, the first of equal ones."""
    kept = np.argsort(-np.abs(rows), axis=1, kind="stable")[:, :k]
    out = np.zeros_like(rows)
    np.put_along_axis(out, kept, np.take_along_axis(rows, kept, axis=1), axis=1)
    return out


def models(method, gradients, x, step, k, first):
    """x^0, x^1, ... of a method whose messages keep k numbers; EF21's first ones keep `first`."""
    memory = np.zeros_like(gradients(x))
    while True:
        yield x
        slopes = gradients(x)
        if method in ("GD", "DCGD"):
            x = x - step * top_k(slopes, k).mean(axis=0)
        elif method == "EF14":
            sent = top_k(memory + step * slopes, k)
            memory = memory + step * slopes - sent
            x = x - sent.mean(axis=0)
        elif method == "EF21":
            memory = memory + top_k(slopes - memory, first)
            x, first = x - step * memory.mean(axis=0), k
