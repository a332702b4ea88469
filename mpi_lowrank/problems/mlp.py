"""A neural network of any number of layers on dense rows."""

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.datasets.local import LocalShards
from mpi_lowrank.errors import OptionError
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.base import Block, Smoothness
from mpi_lowrank.problems.dense import Classifier


@problems.register("mlp")
class Network(Classifier):
    """Cross-entropy of a network of n layers, h_(k+1) = tanh(W_k^T h_k + b_k) from h_1 = a_j.

    Logits W_n^T h_n + b_n; `Classifier` says what is the loss of these. `hidden`: units of the one
    hidden layer, or of each, such as [64, 64]. Blocks W1 (features, hidden), b1 (hidden,), W2, b2
    and so on, the last to the classes; without `biases` there are only the W. `lambda` applies to
    biases too. Not convex, and without a global L: the constants are NaN, so a case must set a
    stepsize.
    """

    smooth = False
    hidden: int | tuple[int, ...] = option(32)
    biases: bool = option(True)

    def __init__(self, shards: LocalShards, dtype: np.dtype, **options: Any):
        super().__init__(shards, dtype, **options)
        self._slopes = cache(lambda layer, shape: np.zeros(shape, dtype))

    @classmethod
    def layers(cls, features, classes, options):
        given = options.hidden
        hidden = given if isinstance(given, tuple) else (given,)
        if not hidden or min(hidden) < 1:
            allowed = "an integer from 1, or a list of such, one for each layer"
            raise OptionError("hidden", list(given) if given is hidden else given, allowed)
        blocks = []
        for number, shape in enumerate(pairwise((features, *hidden, classes)), start=1):
            blocks += [Block(f"W{number}", shape), Block(f"b{number}", shape[1:])]
        return tuple(blocks if options.biases else blocks[::2])

    def _weights(self, flat: np.ndarray) -> tuple[list[Any], list[Any]]:
        """W and b of all layers of one model, or of one per worker; None for biases it lacks."""
        parts = self.parts(flat)
        return (parts[::2], parts[1::2]) if self.biases else (parts, [None] * len(parts))

    def _forward(self, x, columns, layers):
        inputs = columns
        for W, b, outputs in zip(*self._weights(x), layers, strict=True):
            if inputs is not columns:
                np.tanh(inputs, out=inputs)
            np.matmul(W.swapaxes(-2, -1), inputs, out=outputs)
            if b is not None:
                outputs += b[..., np.newaxis]
            inputs = outputs

    def _backward(self, x, columns, layers, out):
        matrices, slopes = self._weights(x)[0], layers[-1]
        inputs = [columns, *layers[:-1]]
        for layer, (W, b) in reversed(list(enumerate(zip(*self._weights(out), strict=True)))):
            np.matmul(inputs[layer], slopes.swapaxes(1, 2), out=W)
            if b is not None:
                np.sum(slopes, axis=2, out=b)
            if layer > 0:
                slopes = self._pull_back(layer, matrices[layer], slopes, inputs[layer])

    def _pull_back(self, layer, W, slopes, hidden):
        """df_i of a layer's outputs to that of the sums whose tanh is its input."""
        before = np.matmul(W, slopes, out=self._slopes(layer, hidden.shape))
        np.multiply(hidden, hidden, out=hidden)  # tanh' = 1 - tanh^2
        np.subtract(1, hidden, out=hidden)
        return np.multiply(before, hidden, out=before)

    def smoothness(self, mean):
        return Smoothness(np.nan, np.full(len(self.samples), np.nan))

    def scale_start(self, x: np.ndarray) -> None:
        """Turn standard normal numbers into a start at which tanh is not saturated.

        Weights get the variance 1 / inputs, biases are 0 (LeCun et al., "Efficient BackProp",
        1998).
        """
        for part in self.parts(x):
            if part.ndim == 2:
                part /= np.sqrt(len(part))
            else:
                part[...] = 0
