"""What a round is compared with: the loop over workers of the EF21 paper's kind of script."""

from time import perf_counter

import numpy as np
from scipy.sparse import csr_array

from mpi_lowrank.datasets import load, shard_rows

K, STEP, REGULARIZER = 1, 0.02, 0.1


class PlainScript:
    """EF21 with Top-1 on mushrooms in one process, nothing sent anywhere.

    Dense float64 shards, products with the rows `A * y[:, None]`, an argpartition for Top-K: as
    the authors' scripts have it, worker by worker.
    """

    def __init__(self, workers: int):
        data = load("mushrooms")
        dense, labels = csr_array(data.features).toarray().astype(float), data.labels.astype(float)
        rows = shard_rows(data.labels, workers, "contiguous", 0)
        self._shards = [(dense[own], labels[own]) for own in rows]
        self._d = dense.shape[1]

    def seconds_per_round(self, rounds: int) -> float:
        """Of a run of so many rounds."""
        began = perf_counter()
        self.run(rounds)
        return (perf_counter() - began) / rounds

    def run(self, rounds: int) -> np.ndarray:
        """Where so many rounds lead from a normal start, (d,) float64."""
        x = np.random.default_rng(0).standard_normal(self._d)
        estimates = np.zeros((len(self._shards), self._d))
        for _ in range(rounds):
            for estimate, (a, y) in zip(estimates, self._shards, strict=True):
                difference = gradient(a, y, x) - estimate
                kept = np.argpartition(np.abs(difference), -K)[-K:]
                estimate[kept] += difference[kept]
            x -= STEP * estimates.mean(axis=0)
        return x

    def squared_gradient_norm(self, x: np.ndarray) -> float:
        """Of the mean over workers, as a run's rows have it."""
        mean = np.mean([gradient(a, y, x) for a, y in self._shards], axis=0)
        return float(mean @ mean)


def gradient(a: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """That of one worker's logistic loss, with the nonconvex regularizer."""
    signed = a * y[:, None]
    found: np.ndarray = -(signed.T @ (1 / (1 + np.exp(signed @ x)))) / len(y)
    found += 2 * REGULARIZER * x / (1 + x * x) ** 2
    return found
