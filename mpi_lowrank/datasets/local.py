"""The rows that one rank holds."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array


class Rows(NamedTuple):
    """Some rows of a data set: features (rows, d), CSR or dense, and labels (rows,)."""

    features: csr_array | np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class LocalShards:
    """The shards of a rank's workers, in order, and its part of the held-out rows.

    `numbers`: the rank's workers among the `total`. `longest`: rows of the longest shard of all
    workers on all ranks. `train_rows`, `test_rows`: rows on all ranks together. `classes`: of the
    whole data set, whose type (int32 or float64) its labels have. A problem that makes its own data
    finds no rows here, only `numbers`, `total` and the case's `seed`.
    """

    numbers: range
    total: int
    seed: int
    workers: list[Rows]
    test: Rows | None = None
    longest: int = 0
    train_rows: int = 0
    test_rows: int = 0
    classes: int = 0
