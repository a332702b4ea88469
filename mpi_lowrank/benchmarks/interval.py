"""How well samples know their median."""

from functools import cache

import numpy as np
from scipy.special import bdtr

CONFIDENCE = 0.95


def interval(samples: np.ndarray) -> tuple[float, float] | None:
    """A confidence interval of the median, (low, high), whatever the samples' distribution.

    Its ends are samples: of n in order the l-th from either end, with the largest l for which as
    many as that lie on one side of the median with a chance of at most 1 - CONFIDENCE. None where
    samples are fewer than the six that this takes. Independent samples are supposed (David,
    Nagaraja 2003, "Order statistics", 7.1).
    """
    rank = _rank(len(samples))
    if rank == 0:
        return None
    ordered = np.sort(samples)
    return float(ordered[rank - 1]), float(ordered[-rank])


@cache
def _rank(count: int) -> int:
    """The largest l with 2 P(B < l) <= 1 - CONFIDENCE, B binomial of `count` and a half."""
    chances = bdtr(np.arange(count), count, 0.5)
    return int(np.searchsorted(chances, (1 - CONFIDENCE) / 2, side="right"))


def uncertainty(samples: np.ndarray) -> float:
    """How far the interval reaches from the median, in medians; infinity where there is none."""
    found, middle = interval(samples), float(np.median(samples))
    if found is None or middle <= 0:
        return np.inf
    return max(middle - found[0], found[1] - middle) / middle
