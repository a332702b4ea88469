"""Data sets: the carried one, LIBSVM's files, and how rows are shared out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from mpi_lowrank.datasets import libsvm, mushrooms
from mpi_lowrank.datasets.catalogue import (
    VARIABLE,
    cache_folder,
    cached,
    check,
    fetch,
    known_set,
    listing,
    verify,
)
from mpi_lowrank.datasets.shards import shard_rows, split_test
from mpi_lowrank.errors import UserError

__all__ = ["Dataset", "check", "fetch", "listing", "load", "shard_rows", "split_test"]


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
    """The known data set of that name, or the one in the LIBSVM file of that path.

    Raises UserError if there is none, it was not fetched, or the file is damaged.
    """
    if name == "mushrooms":
        return Dataset(name, *mushrooms.features_and_labels(), mushrooms.SHA256)
    if Path(name).is_file() or "/" in name:
        return _parsed(name, libsvm.read_text(Path(name)), name, None)
    known = known_set(name)
    path = cached(name)
    if path is None:
        raise UserError(
            f"data set {name!r}: not in {cache_folder()}; run mpi-lowrank data fetch {name} where "
            f"there is internet, or name the folder that holds it in {VARIABLE}"
        )
    return _parsed(name, verify(path, known), str(path), known.features)


def _parsed(name: str, text: bytes, where: str, width: int | None) -> Dataset:
    features, labels = libsvm.parse(text, where, width)
    return Dataset(name, features, libsvm.signs(labels, where), libsvm.checksum(text))
