"""A latency and a bandwidth for a kind of call, from the seconds it takes by size."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mpi_lowrank.door.calls import Call


class Fit(NamedTuple):
    """`latency`: seconds per message. `bandwidth`: bytes per second of a link; None: no limit.

    `residual`: the root mean square, over the sizes, of the model's error relative to the seconds.
    """

    latency: float
    bandwidth: float | None
    residual: float


def fit(call: Call, ranks: int, nbytes: Sequence[float], seconds: Sequence[float]) -> Fit:
    """The model whose relative errors are least in squares, neither of its numbers negative.

    `seconds` are those of a call in which each of so many `ranks` hands over `nbytes`; the model is
    the call's own (`Cost.seconds`), which knows its messages and the load of the busiest link.
    """
    from scipy.optimize import nnls  # here: other benches need not wait for this import

    costs = [call.cost(size, ranks) for size in nbytes]
    measured = np.asarray(seconds, float)[:, np.newaxis]
    design = np.array([(cost.steps, cost.load) for cost in costs]) / measured
    scale = np.maximum(design.max(axis=0), np.finfo(float).tiny)  # of bytes and of messages
    found, _ = nnls(design / scale, np.ones(len(design)))
    latency, inverse = (found / scale).tolist()
    errors = design @ (found / scale) - 1
    bandwidth = 1 / inverse if inverse > 0 else None
    return Fit(latency, bandwidth, float(np.sqrt(np.mean(errors**2))))
