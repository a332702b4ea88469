"""The rows that one rank holds."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array


class Rows(NamedTuple):
    """Some rows of a data set: features (rows, d), labels (rows,)."""

    features: csr_array
    labels: np.ndarray


@dataclass(frozen=True)
class LocalShards:
    """The shards of a rank's workers, in order, and its part of the held-out rows.

    `longest`: rows of the longest shard of all workers on all ranks. `train_rows`, `test_rows`:
    rows on all ranks together.
    """

    workers: list[Rows]
    test: Rows
    longest: int
    train_rows: int
    test_rows: int
