"""A neural network of two layers on dense rows."""

from functools import cache
from typing import Any

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.datasets.local import LocalShards
from mpi_lowrank.errors import OptionError
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Block, Smoothness
from mpi_lowrank.problems.dense import Classifier


@problems.register("mlp")
class TwoLayers(Classifier):
    """Logits z_j = W2^T h_j + b2 of h_j = tanh(W1^T a_j + b1); see `Classifier`.

    Blocks W1 (features, hidden), b1 (hidden,), W2 (hidden, classes), b2 (classes,). `hidden`: units
    of the first layer. Without `biases` there are only W1 and W2. `lambda` applies to biases too.
    Not convex, and without a global L: the constants are NaN, so a case must set a stepsize.
    """

    smooth = False
    hidden: int = option(32)
    biases: bool = option(True)

    def __init__(self, shards: LocalShards, dtype: np.dtype, **options: Any):
        super().__init__(shards, dtype, **options)
        self._slope = cache(lambda shape: np.zeros(shape, dtype))

    @classmethod
    def layers(cls, features, classes, options):
        hidden = options.hidden
        if hidden < 1:
            raise OptionError("hidden", hidden, "an integer from 1")
        b1, b2 = (
            ((Block("b1", (hidden,)),), (Block("b2", (classes,)),)) if options.biases else ((), ())
        )
        return (Block("W1", (features, hidden)), *b1, Block("W2", (hidden, classes)), *b2)

    def _named(self, flat: np.ndarray) -> list[Any]:
        """W1, b1, W2, b2 of one model, or of one per worker; None for biases that it lacks."""
        parts = self._parts(flat)
        return parts if self.biases else [parts[0], None, parts[1], None]

    def _forward(self, x, columns, layers):
        W1, b1, W2, b2 = self._named(x)
        hidden, logits = layers
        np.matmul(W1.swapaxes(-2, -1), columns, out=hidden)
        if b1 is not None:
            hidden += b1[..., np.newaxis]
        np.tanh(hidden, out=hidden)
        np.matmul(W2.swapaxes(-2, -1), hidden, out=logits)
        if b2 is not None:
            logits += b2[..., np.newaxis]

    def _backward(self, x, columns, layers, out):
        _, _, W2, _ = self._named(x)
        into_W1, into_b1, into_W2, into_b2 = self._named(out)
        hidden, logits = layers
        slope = self._slope(hidden.shape)
        np.matmul(hidden, logits.swapaxes(1, 2), out=into_W2)
        if into_b2 is not None:
            np.sum(logits, axis=2, out=into_b2)
        np.matmul(W2, logits, out=slope)
        np.multiply(hidden, hidden, out=hidden)  # tanh' = 1 - tanh^2
        np.subtract(1, hidden, out=hidden)
        np.multiply(slope, hidden, out=slope)
        np.matmul(columns, slope.swapaxes(1, 2), out=into_W1)
        if into_b1 is not None:
            np.sum(slope, axis=2, out=into_b1)

    def smoothness(self, mean):
        return Smoothness(np.nan, np.full(len(self.samples), np.nan))

    def scale_start(self, x: np.ndarray) -> None:
        """Turn standard normal numbers into a start at which tanh is not saturated.

        Weights get the variance 1 / inputs, biases are 0 (LeCun et al., "Efficient BackProp",
        1998).
        """
        for part in self._parts(x):
            if part.ndim == 2:
                part /= np.sqrt(len(part))
            else:
                part[...] = 0
