"""Data sets: the carried one, LIBSVM's files, and how rows are shared out."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from mpi_lowrank.datasets import mushrooms
from mpi_lowrank.datasets.shards import shard_rows, split_test

__all__ = ["Dataset", "load", "shard_rows", "split_test"]


@dataclass(frozen=True)
class Dataset:
    """Rows of features and a label each.

    `features` is (N, d) CSR, boolean where every stored number is 1, else float64. `labels` is
    (N,) int8, -1 and +1, -1 for the smaller of the file's two. `sha256` is that of LIBSVM's text.
    """

    name: str
    features: csr_array
    labels: np.ndarray
    sha256: str


def load(name: str) -> Dataset:
    """The data set of that name, or in the LIBSVM file of that path."""
    return Dataset("mushrooms", *mushrooms.features_and_labels(), mushrooms.SHA256)
