"""Which rows are held out, and which worker gets which of the others."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mpi_lowrank.errors import OptionError

Order = Literal["contiguous", "shuffled", "by_label"]


@dataclass(frozen=True)
class Data:
    """Which rows, and which worker gets which."""

    name: str | None = None  # a known data set or a LIBSVM file's path; None: the problem's default
    order: Order = "contiguous"  # of rows over workers
    test_fraction: float = 0.0  # share of the rows held out, chosen by the seed


def assign(labels: np.ndarray, data: Data, workers: int, seed: int) -> list[list[np.ndarray]]:
    """The row numbers (training, held out) of each worker; held-out rows go round evenly."""
    train, test = split_test(len(labels), data.test_fraction, seed)
    shards = shard_rows(labels[train], workers, data.order, seed)
    return [[train[rows] for rows in shards], np.array_split(test, workers)]


def split_test(rows: int, test_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (training, held out), each increasing; `seed` chooses the held-out ones."""
    held_out = round(rows * test_fraction)
    chosen = np.random.default_rng(seed).permutation(rows)[:held_out]
    mask = np.zeros(rows, bool)
    mask[chosen] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def shard_rows(labels: np.ndarray, workers: int, order: Order, seed: int) -> list[np.ndarray]:
    """Each worker's rows: floor(N / workers) of them, and the remainder on the last worker too.

    In file order (`contiguous`, as in the EF21 paper), in an order drawn by `seed` (`shuffled`), or
    sorted by label, equal ones in file order (`by_label`).
    """
    rows = len(labels)
    if not 1 <= workers <= rows:
        raise OptionError("workers", workers, f"an integer from 1 to the {rows} training rows")
    if order == "shuffled":
        arranged = np.random.default_rng(seed).permutation(rows)
    elif order == "by_label":
        arranged = np.argsort(labels, kind="stable")
    elif order == "contiguous":
        arranged = np.arange(rows)
    else:
        raise OptionError("order", order, ", ".join(get_args(Order)))
    size = rows // workers
    return np.split(arranged, np.arange(1, workers) * size)
