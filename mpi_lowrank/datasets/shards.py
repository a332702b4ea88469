"""Which rows are held out, and which worker gets which of the others."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import numpy as np

from mpi_lowrank.errors import OptionError

Order = Literal["contiguous", "shuffled", "by_label", "dirichlet"]


@dataclass(frozen=True)
class Data:
    """Which rows, and which worker gets which."""

    name: Annotated[
        str | None, "a known data set or a LIBSVM file's path; not given: the problem's default"
    ] = None
    order: Annotated[
        Order,
        "of rows over workers: N // n each and what is left on the last one, as in the EF21 paper; "
        "dirichlet draws how many",
    ] = "contiguous"
    alpha: Annotated[
        float | None, "of dirichlet, 0.5 if not given: the smaller, the fewer labels each"
    ] = None
    test_fraction: Annotated[float, "share of the rows held out, chosen by the seed"] = 0.0

    @property
    def dealt(self) -> str:
        """The order, with alpha where it is given."""
        return self.order if self.alpha is None else f"{self.order}(alpha={self.alpha:g})"


def assign(labels: np.ndarray, data: Data, workers: int, seed: int) -> list[list[np.ndarray]]:
    """The row numbers (training, held out) of each worker; held-out rows go round evenly."""
    train, test = split_test(len(labels), data.test_fraction, seed)
    shards = shard_rows(labels[train], workers, data.order, seed, data.alpha)
    return [[train[rows] for rows in shards], np.array_split(test, workers)]


def split_test(rows: int, test_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (training, held out), each increasing; `seed` chooses the held-out ones."""
    held_out = round(rows * test_fraction)
    chosen = np.random.default_rng(seed).permutation(rows)[:held_out]
    mask = np.zeros(rows, bool)
    mask[chosen] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def shard_rows(
    labels: np.ndarray, workers: int, order: Order, seed: int, alpha: float | None = None
) -> list[np.ndarray]:
    """Each worker's rows: floor(N / workers) of them, and the remainder on the last worker too.

    In file order (`contiguous`, as in the EF21 paper), in an order drawn by `seed` (`shuffled`), or
    sorted by label, equal ones in file order (`by_label`). `dirichlet` shards differ in size: see
    `dirichlet_rows`.
    """
    rows = len(labels)
    if not 1 <= workers <= rows:
        raise OptionError("workers", workers, f"an integer from 1 to the {rows} training rows")
    if order == "dirichlet":
        return dirichlet_rows(labels, workers, seed, 0.5 if alpha is None else alpha)
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


def dirichlet_rows(labels: np.ndarray, workers: int, seed: int, alpha: float) -> list[np.ndarray]:
    """Shards of skewed labels: the rows of each label go to workers in shares of Dirichlet(alpha).

    Hsu, Qi, Brown 2019, one draw per label, all by `seed`; each shard's rows increase. Each worker
    that would have none takes one row from the worker that has most.
    """
    rng = np.random.default_rng(seed)
    owner = np.zeros(len(labels), np.intp)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        shares = np.cumsum(rng.dirichlet(np.full(workers, alpha)))
        owner[rows] = np.searchsorted(shares[:-1], (np.arange(len(rows)) + 0.5) / len(rows))
    counts = np.bincount(owner, minlength=workers)
    for poor in np.flatnonzero(counts == 0):
        rich = np.argmax(counts)
        owner[np.flatnonzero(owner == rich)[-1]] = poor
        counts[rich] -= 1
        counts[poor] = 1
    return [np.flatnonzero(owner == worker) for worker in range(workers)]
