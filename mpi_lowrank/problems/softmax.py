"""Softmax regression on dense rows."""

from collections.abc import Callable

import numpy as np
from scipy.special import softmax

from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Block, Smoothness, largest_eigenvalue
from mpi_lowrank.problems.dense import Classifier


@problems.register("softmax")
class SoftmaxRegression(Classifier):
    """Logits z_j = W^T a_j with a matrix W (features, classes); see `Classifier`.

    Gradients are A_i^T (P_i - Y_i) / m_i + lambda W; without lambda their rows sum to 0 and their
    rank is at most min(features, classes - 1). The Hessian diag(p) - p p^T of the cross-entropy has
    no eigenvalue above 1/2, which it has where two classes have p = 1/2 each. So
    L_i = lambda_max(A_i^T A_i) / (2 m_i) + lambda, and L is the same with the mean over workers of
    A_i^T A_i / (2 m_i). Source: D. Boehning, Ann. Inst. Statist. Math. 44 (1992).
    """

    has_hessians = True

    @classmethod
    def layers(cls, features, classes, options):
        return (Block("W", (features, classes)),)

    def _forward(self, x, columns, layers):
        (W,) = self.parts(x)
        np.matmul(W.swapaxes(-2, -1), columns, out=layers[0])

    def _backward(self, x, columns, layers, out):
        (gradient,) = self.parts(out)
        np.matmul(columns, layers[0].swapaxes(1, 2), out=gradient)

    def hessians(self, x, out):
        samples = self._chosen.whole
        self._forward(x, samples.columns, samples.layers)
        chances = softmax(samples.layers[0], axis=1)
        workers, classes, _ = chances.shape
        blocks = out.reshape(workers, -1, classes, len(out[0]) // classes, classes)
        for k in range(classes):
            for other in range(k + 1):
                weights = (float(k == other) - chances[:, k]) * chances[:, other]
                weighted = samples.columns * (weights[:, np.newaxis] * samples.weights)
                block = weighted @ samples.columns.swapaxes(1, 2)
                blocks[:, :, k, :, other] = block
                blocks[:, :, other, :, k] = block.swapaxes(1, 2)
        self._regularizer.add_curvature(x, out)

    @classmethod
    def hessian_footprint(cls, blocks, workers, longest, itemsize):
        ((features, classes),) = (block.shape for block in blocks)
        passes = workers * (features + classes) * longest * itemsize
        return passes + super().hessian_footprint(blocks, workers, longest, itemsize)

    def smoothness(self, mean):
        features = [rows.features.astype(np.float64) for rows in self._shards.workers]
        p = features[0].shape[1]

        curvatures = [_hessian_bound(A) for A in features]
        L = largest_eigenvalue(lambda v: mean(np.array([C(v) for C in curvatures])), p)
        L_i = [largest_eigenvalue(C, p) for C in curvatures]
        curvature = self._regularizer.curvature
        return Smoothness(L + curvature, np.array(L_i) + curvature, self._regularizer.mu)


def _hessian_bound(A: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The map v to A^T A v / (2 m) of A (m, p), which bounds the Hessian of a shard from above."""
    return lambda v: A.T @ (A @ v) / (2 * len(A))
