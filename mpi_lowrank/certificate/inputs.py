"""Vectors that expose a wrong compressor: hostile ones, and differences of real gradients."""

from functools import cache

import numpy as np
from ml_dtypes import finfo
from scipy.special import expit

from mpi_lowrank.compressors.base import Operator
from mpi_lowrank.datasets import load, shard_rows

D = 112
"""The length of most inputs: that of a gradient on mushrooms."""

SHAPES = ((7, 16), (8, 14))
"""The shapes of inputs of low rank and of equal singular values."""

WORKERS = 20


def inputs(operator: Operator) -> dict[str, np.ndarray]:
    """Named vectors (D,) for an operator on D numbers; its own worst case is one of them."""
    rng = np.random.default_rng(7)
    gaussian = rng.standard_normal(D)
    signs = rng.choice([-1.0, 1.0], D)
    normal = finfo(operator.precision)
    smallest, largest = float(normal.smallest_normal), float(normal.max)
    found = {
        "gaussian": gaussian,
        "flat": signs,
        "one-hot": np.eye(1, D, 40)[0] * -3.0,
        "power law": signs * np.arange(1.0, D + 1) ** -1.5,
        "ties": rng.integers(-1, 3, D).astype(float),
        "two levels": np.where(np.arange(D) < 5, 4.0, 0.25) * signs,
        "tiny": gaussian * smallest**0.75,
        "huge": gaussian * largest**0.75,
    }
    for m, c in SHAPES:
        u, v = np.linalg.qr(rng.standard_normal((m, m)))[0], rng.standard_normal((c, m))
        v = np.linalg.qr(v)[0]
        name = f"{m}x{c}"
        found[f"rank one {name}"] = np.outer(u[0], v[:, 0]).reshape(-1)
        found[f"equal singular values {name}"] = (u @ v.T).reshape(-1)
        found[f"decaying {name}"] = (u * 0.5 ** np.arange(m) @ v.T).reshape(-1)
    worst = operator.worst_case()
    if worst is not None:
        found["its worst case"] = worst
    for worker, difference in enumerate(gradient_differences()[::7]):
        found[f"gradient difference {7 * worker}"] = difference
    return found


@cache
def gradient_differences() -> np.ndarray:
    """grad f_i(x^1) - grad f_i(x^0) of 20 workers on mushrooms after a step of GD, (20, 112)."""
    dataset = load("mushrooms")
    shards = shard_rows(dataset.labels, WORKERS, "contiguous", 0)
    x = np.random.default_rng(0).standard_normal(D)

    def gradients(x):
        rows = [(dataset.features[rows].astype(float), dataset.labels[rows]) for rows in shards]
        slopes = [-(a.T @ (y * expit(-y * (a @ x)))) / len(y) for a, y in rows]
        return np.array(slopes) + 0.2 * x / (1 + x**2) ** 2

    first = gradients(x)
    return gradients(x - first.mean(axis=0)) - first
