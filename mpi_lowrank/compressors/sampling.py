"""Drawing with the probabilities of least variance: for singular values and for coordinates."""

from math import ceil

import numpy as np


def tails_of(values: np.ndarray) -> np.ndarray:
    """The sums of values i, i + 1, ..., q - 1 for i = 0, ..., q, (workers, q + 1)."""
    tails = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values[:, ::-1], axis=1, out=tails[:, -2::-1])
    return tails


def threshold(values: np.ndarray, budget: float) -> tuple[np.ndarray, np.ndarray]:
    """tau (workers, 1) with sum_i min(1, values_i / tau) = budget; how many reach 1, (workers,).

    These probabilities minimise sum values_i^2 / p_i (ATOMO, Wang et al. 2018; Wangni et al. 2018).

    The values (workers, q) fall along a row. The papers give 1 to values above their share of the
    budget and divide the rest among the others, until none is above; here one pass finds how many
    that are. Where `budget` values or fewer are positive tau is 0.
    """
    count = ceil(budget)
    tails = tails_of(values)[:, :count]
    left = budget - np.arange(count)
    certain = np.argmax(left * values[:, :count] <= tails, axis=1)
    rows = np.arange(len(values))
    return (tails[rows, certain] / left[certain])[:, np.newaxis], certain


def systematic(
    values: np.ndarray, certain: np.ndarray, budget: int, points: np.ndarray
) -> np.ndarray:
    """The `budget` different values drawn in each row, (workers, budget), increasing.

    The first `certain` ones always are. The probabilities of the others are the lengths of
    intervals, one behind the other; points at distance 1 from each other, the first one in [0, 1),
    draw the intervals in which they lie. Round-off never makes two points draw the same value, a
    point draw none, or a value of 0 be drawn while a positive one is left.
    """
    order = np.arange(budget)
    tails, drawn = tails_of(values), np.empty((len(values), budget), np.intp)
    for row, tail, sure, point in zip(drawn, tails, certain, points, strict=True):
        rest = tail[sure] if tail[sure] > 0 else 1
        ends = (budget - sure) * (1 - tail[sure + 1 :] / rest)
        row[:sure] = order[:sure]
        row[sure:] = sure + np.searchsorted(ends, point + order[: budget - sure], side="right")
    spare = np.maximum(np.count_nonzero(values, axis=1) - budget, 0)
    drawn[...] = np.maximum.accumulate(drawn - order, axis=1) + order
    return np.minimum(drawn, order + spare[:, np.newaxis], out=drawn)
